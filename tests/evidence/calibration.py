"""What an image of each recipe costs: seconds of one core, so that all runs can be given the same time.

Seconds of the processor, not of the clock: on a machine that others use, too, they say what the clock would
say on an idle one. The rows take turns, so that what changes meanwhile meets all alike; medians count.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from launch.config import Run
from launch.data import Data
from launch.engine.distributed import World, find_place, join
from launch.facts import installed_versions, processor
from launch.opening import open_data
from launch.plan import make_plan
from launch.session import Session
from pipeline.growing import image_sizes, shares

_WARMUP = 3
_STEPS = 10


def calibrate(
    recipes: Iterable[Run], *, data: Path, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Returns images per second of one core, by recipe and image size, and of which machine these are."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    runs = list(recipes)
    opened = open_data(replace(runs[0], data=data), say=say)
    world = join(find_place())
    rates: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for run in runs[:: -1 if number % 2 else 1]:
            for size in image_sizes(run.augmentation):
                rate = _rate(run, size=size, data=opened, world=world)
                rates.setdefault(run.recipe, {}).setdefault(str(size), []).append(rate)
                say(f"round {number + 1}: {run.recipe} at {size} pixels: {rate:.1f} images/s")
    return {
        "machine": processor(),
        "versions": installed_versions(),
        "rounds": rounds,
        "images_per_core_s": {
            name: {size: round(median(values), 2) for size, values in sizes.items()}
            for name, sizes in rates.items()
        },
    }


def epochs_of(run: Run, *, rates: dict[str, float], core_s: float, images: int) -> float:
    """Returns the epochs, to a hundredth, that take `core_s` seconds of one core.

    >>> epochs_of(Run(augmentation=replace(Run().augmentation, image_size=48)), rates={"48": 100.0},
    ...     core_s=1000, images=50000)
    2.0
    """
    cost = sum(share / rates[str(size)] for size, share in shares(run.augmentation))
    return round(core_s / cost / images, 2)


def _rate(run: Run, *, size: int, data: Data, world: World) -> float:
    """Returns images per second of the processor, of whole steps with their data."""
    feeding = replace(run.feeding, decode="cpu", window="roi", workers=1)
    augmentation = replace(run.augmentation, image_size=size, start_size=None)
    run = replace(run, feeding=feeding, augmentation=augmentation)
    plan = make_plan(run, nodes=1, ranks=1)
    session = Session(run, asked=run, plan=plan, data=data, world=world, identity="")
    step = session.new_step(session.new_state())
    decay = 0.9 if run.ema.half_life else 0.0
    with closing(session.train_batches(from_step=0, to_step=_WARMUP + 2 * _STEPS)) as batches:
        for _ in range(_WARMUP):
            step(batches, lr=0.01, decay=decay)
        start = time.process_time()
        for _ in range(_STEPS):
            step(batches, lr=0.01, decay=decay)
        spent = time.process_time() - start
    return _STEPS * run.batch / spent
