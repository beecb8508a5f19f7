"""From `torchrun` to the first optimizer step, and what of it goes into loading libraries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from launch.config import Run, to_plain
from launch.folder import write_json
from launch.timing.program import Watched
from launch.timing.rounds import Figures

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
QUIET = {"WANDB_MODE": "disabled"}


def starting_ways(run: Run) -> dict[str, Callable[[], Figures]]:
    """Returns, by name, what starts a program once and returns its seconds."""
    return {
        "import torch": partial(_load, "torch"),
        "import torch and the loader": partial(_load, "pipeline.loader"),
        "torchrun to the first step": partial(_first_step, run),
    }


def _load(module: str) -> Figures:
    command = [sys.executable, "-c", f"import {module}"]
    return {"s": Watched(command, cwd=TRAIN.parents[1]).seconds}


def _first_step(run: Run) -> Figures:
    with TemporaryDirectory(prefix="rexnet-startup-") as folder:
        out = Path(folder) / "run"
        program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1", str(TRAIN)]
        command = [*program, *as_flags(run, folder=Path(folder)), "--out", str(out), "--log-every", "1"]
        return {"s": Watched(command, env=QUIET, until=lambda _: bool(train_lines(out))).seconds}


def as_flags(run: Run, *, folder: Path) -> list[str]:
    """Returns flags that stand for a run, which is written into `folder`."""
    record = folder / "asked.json"
    write_json(record, {"run": to_plain(run)})
    return ["--from", str(record)]


def train_lines(out: Path) -> list[str]:
    """Returns the lines of metrics that a run has written by now, without one that is being written."""
    metrics = out / "metrics.jsonl"
    if not metrics.exists():
        return []
    return [line for line in metrics.read_text().split("\n")[:-1] if '"kind": "train"' in line]
