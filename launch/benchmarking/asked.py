"""What a benchmark is asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from launch.config import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How fast this machine feeds and trains a recipe, part by part."""

    run: Run

    rounds: int = 5
    """Turns of each way, for medians; turns of `train` and `scale` leave out their first 20 steps, and the
    other modes take one turn more beforehand, which does not count."""

    seconds: float = 4.0
    """Length of a turn of `input`."""

    steps: int = 60
    """Optimizer steps of a turn, in `train` and `scale` after 20 that do not count; 10 in `model`."""

    packed: Path | None = None
    """The same data set packed by launch/pack.py, to be fed beside the folder."""

    processes: int = 2
    """Most processes of `scale`."""

    against: Path | None = None
    """A checkout of timm, whose train.py `train` runs beside this one."""

    peer_python: Path = Path("python3")
    """The Python that can import timm: a path, or a name on the PATH."""

    check: bool = False
    """Exit code 1 where a figure of `train` or `scale` misses what this program promises on two CPU cores."""

    json: Path | None = None
    """File for the figures; runs/benchmark-MODE-RECIPE.json when not given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnPaper:
    """A recipe on V100s, on paper: hours, requeues, network, storage, and what limits it."""

    run: Run

    gpus: int = 16
    """V100s in all."""

    gpus_per_node: int = 8
    """V100s of a machine."""

    wall_time: str = "24h"
    """Time that an attempt may take: 24h, 90m, 1-12:00:00, or minutes as for Slurm; `none` has no limit."""

    network: float = 25.0
    """Gb/s of a machine's network card."""

    cores: float = 5.0
    """CPU cores per GPU."""

    json: bool = False
    """One JSON object instead of lines."""
