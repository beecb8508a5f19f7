"""Finds and watches the processes of a training that was started by torchrun."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.launch.program import command, environment


@contextmanager
def training(
    folder: Path, *arguments: object, processes: int = 0, **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """Starts `train.py demo` with its output in FOLDER.txt; what is left of it afterwards is killed."""
    words = command("train", "demo", "--out", folder, *arguments, processes=processes)
    with log_of(folder).open("w") as log:
        started = subprocess.Popen(words, stdout=log, stderr=log, text=True, env=environment(**changes))
    try:
        yield started
    finally:
        for pid in pids(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        started.wait(60)


def log_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".txt")


def pids(folder: Path, *, rank: int | None = None) -> list[int]:
    """Returns the processes whose command line names `folder`, of one rank if asked."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes().split(b"\0")
            if str(folder).encode() in words and (rank is None or f"RANK={rank}".encode() in variables):
                found.append(int(process.name))
    return found


def until(
    ready: Callable[[], object], *, seconds: float = 120, started: subprocess.Popen[str] | None = None
) -> float:
    """Waits until `ready` says so; returns the seconds that this took."""
    begun = time.monotonic()
    while not ready():
        assert started is None or started.poll() is None, f"ended with {started.returncode}"
        assert time.monotonic() - begun < seconds, "it never came"
        time.sleep(0.02)
    return time.monotonic() - begun


def shows(folder: Path, text: str) -> Callable[[], bool]:
    """Returns what tells whether a training has shown `text`."""
    return lambda: text in log_of(folder).read_text()


def attempt(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "attempt.json").read_text())
