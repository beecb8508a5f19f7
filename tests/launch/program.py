"""Starts the programs as a user does."""

import json
import os
import subprocess
import sys
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
