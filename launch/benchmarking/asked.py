"""What a benchmark is asked for, and its result as a table and a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from launch.config import Run
from launch.facts import installed_versions
from launch.folder import write_json
from launch.timing.machine import describe_machine, machine_line
from launch.timing.rounds import Measured, plain, table


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How fast this machine feeds and trains a recipe, part by part."""

    run: Run

    rounds: int = 5
    """Turns of each way; medians are of these, and one more before them does not count."""

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
    """The Python that can import timm."""

    check: bool = False
    """Exit code 1 where a figure misses what this program promises on two CPU cores."""

    json: Path | None = None
    """File for the figures; runs/benchmark-MODE-RECIPE.json when not given."""


def report(mode: str, asked: Asked, measured: Measured, *, threads: int) -> str:
    """Writes the figures as JSON and returns them as a table with the machine below it."""
    machine = describe_machine(installed_versions())
    run = asked.run
    what = {
        "mode": mode,
        "recipe": run.recipe,
        "image_size": run.augmentation.image_size,
        "batch": run.batch,
        "micro_batch": run.micro_batch,
        "threads": threads,
        "rounds": asked.rounds,
    }
    place = asked.json or Path("runs") / f"benchmark-{mode}-{run.recipe}.json"
    write_json(place, {**what, "measured": plain(measured), "machine": machine})
    shape = (
        f"{run.recipe}, {run.augmentation.image_size} pixels, batch {run.batch}, micro-batch "
        f"{run.micro_batch}, {threads} threads; medians of {asked.rounds} rounds, in brackets least and most"
    )
    return f"{table(measured)}\n\n{shape}\n{machine_line(machine)}\n{place}"
