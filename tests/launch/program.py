"""Starts the programs as a user does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def command(program: str, *arguments: object, processes: int = 0) -> list[str]:
    """Returns the command line of launch/PROGRAM.py, by torchrun with `processes`, by python without."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"] if processes else []
    return [sys.executable, *launcher, str(REPOSITORY / "launch" / f"{program}.py"), *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """Returns this process's environment with `changes`, one thread each and W&B offline."""
    return os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"} | changes


def run(
    program: str,
    *arguments: object,
    processes: int = 0,
    cwd: Path | None = None,
    timeout: float = 240,
    **changes: str,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(
        command(program, *arguments, processes=processes),
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env=environment(**changes),
    )


def records(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Returns the lines of a run's metrics.jsonl, of one kind if asked."""
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if kind is None or line["kind"] == kind]


def kill_at(step: int, arguments: list[str], folder: Path) -> None:
    """Starts a run and kills all its processes once it has logged `step`."""
    with folder.with_suffix(".txt").open("w") as log:
        started = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment())
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        file = folder / "metrics.jsonl"
        if (
            file.exists()
            and any(r["step"] >= step for r in records(folder, "train"))
            and (folder / "last.pt").exists()
        ):
            break
        assert started.poll() is None, folder.with_suffix(".txt").read_text()[-2000:]
        time.sleep(0.02)
    for process in Path("/proc").glob("[0-9]*"):  # torchrun's workers are in process groups of their own
        with suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
    started.wait()


def until(condition: Callable[[], object], *, seconds: float = 120) -> float:
    """Waits until `condition` holds; returns the seconds that this took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it does not happen"
        time.sleep(0.02)
    return time.monotonic() - start
