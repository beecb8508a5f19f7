"""What the loop measures between two lines of metrics."""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from launch.engine.bad_images import Bad, gather_bad
from launch.engine.ports import BadImage, MicroBatch
from launch.engine.pulse import Pulse, silent_pulse
from launch.engine.step import TOTALS, Step

_PERCENTILES = (50, 95, 99)


class Waiting:
    """Passes micro-batches on, adds up the seconds spent waiting for them and keeps what was bad in them.

    Args:
        kept: how many of the last micro-batches' ids are kept.
        pulse: learns while this rank waits.
    """

    def __init__(self, batches: Iterator[MicroBatch], *, kept: int = 1, pulse: Pulse | None = None):
        self.batches = batches
        self.pulse = pulse or silent_pulse()
        self.seconds = 0.0
        self.images = 0
        self.ids: deque[Any] = deque(maxlen=kept)
        self.bad: dict[int, BadImage] = {}

    def __iter__(self) -> Iterator[MicroBatch]:
        return self

    def __next__(self) -> MicroBatch:
        start = time.perf_counter()
        with self.pulse.waiting_for_data():
            batch = next(self.batches)
        self.seconds += time.perf_counter() - start
        self.images += len(batch.ids)
        self.ids.append(batch.ids)
        self.bad |= {bad.id: bad for bad in batch.bad}
        return batch


class Meter:
    """Turns the step's totals into metrics; reading them is the loop's only wait for the device.

    Args:
        group: connects the hosts' memory; None is the default group.

    Attributes:
        found: bad images that any rank met up to the last reading and the state did not know.
    """

    def __init__(self, step: Step, waiting: Waiting, *, group: dist.ProcessGroup | None = None):
        self.step = step
        self.waiting = waiting
        self.group = group
        self.found: tuple[Bad, ...] = ()
        self.restart()

    def restart(self) -> None:
        """Starts the clock anew, after work that is not training."""
        self.started = time.perf_counter()
        self.waiting.seconds, self.waiting.images = 0.0, 0

    def read(self, *, stop: bool) -> tuple[dict[str, float | str], bool]:
        """Returns the metrics since the last reading, over all ranks, and whether any rank is to stop.

        The wish to stop travels in the sum that is waited for anyway. An asynchronous maximum, read at the
        next reading, would save no wait and stop the run one interval later.
        """
        elapsed = time.perf_counter() - self.started
        known = {bad.id for bad in self.step.state.bad if bad.split == "train"}
        new = [bad for i, bad in self.waiting.bad.items() if i not in known]
        ranks, rank = dist.get_world_size(), dist.get_rank()
        laps = self.step.whole.read()
        works, memories = [0.0] * ranks, [0.0] * ranks
        works[rank], memories[rank] = _mean(self.step.own_work.read()), self.step.gauges.memory()
        told = [float(stop), self.waiting.seconds / elapsed, len(new), self.waiting.images]
        told += [self.step.gauges.energy(), *works, *memories]
        own = torch.tensor(told, dtype=torch.float64).to(self.step.totals.device)
        vector = torch.cat([self.step.totals, self.step.streak[None], own])
        dist.all_reduce(vector)
        read = vector.tolist()
        *totals, streak, stops, waits, bad, shown, joules = read[: -2 * ranks]
        works, memories = read[-2 * ranks : -ranks], read[-ranks:]
        loss, hits, images, skipped = totals
        assert len(totals) == len(TOTALS) and shown > 0
        elapsed = time.perf_counter() - self.started
        state = self.step.state
        state.skipped += round(skipped / ranks)
        state.streak = round(streak / ranks)
        self.step.totals.zero_()
        self.found = gather_bad(new, split="train", group=self.group) if bad else ()
        self.waiting.bad.clear()
        self.restart()
        return {
            "train/loss": loss / images if images else float("nan"),
            "train/acc1": 100 * hits / images if images else float("nan"),
            "speed/images_per_s": shown / elapsed,
            "speed/images_per_s_per_gpu": shown / elapsed / ranks,
            "speed/data_wait": waits / ranks,
            "speed/seconds": elapsed,
            **_percentiles(laps),
            **_spread(works, hosts=self.waiting.pulse.hosts),
            **_costs(memories, joules=joules),
            "health/skipped_steps": state.skipped,
            "health/skipped_in_a_row": state.streak,
            "health/grad_norm": float(self.step.gradient_norm),
            "health/loss_scale": state.scaler.get_scale(),
        }, stops > 0


def _mean(laps: Sequence[float]) -> float:
    return sum(laps) / max(len(laps), 1)


def _percentiles(laps: Sequence[float]) -> dict[str, float]:
    """Returns how long this rank's steps took, in milliseconds; the ranks take them together."""
    if not laps:
        return {}
    found = np.percentile(laps, _PERCENTILES).tolist()
    return {f"speed/step_ms_p{p}": value for p, value in zip(_PERCENTILES, found, strict=True)}


def _costs(memories: Sequence[float], *, joules: float) -> dict[str, float]:
    """Returns what the devices tell of themselves, without what they do not."""
    costs = {"cost/gpu_memory_gib": float(np.max(memories)), "cost/joules": joules}
    return {name: value for name, value in costs.items() if not math.isnan(value)}


def _spread(works: Sequence[float], *, hosts: Sequence[str]) -> dict[str, float | str]:
    """Returns how far the ranks' own milliseconds per step lie apart, and of several whose are most."""
    spread: dict[str, float | str] = {
        "speed/step_ms_min": min(works),
        "speed/step_ms_median": median(works),
        "speed/step_ms_max": max(works),
    }
    if len(works) > 1:
        slowest = works.index(max(works))
        spread |= {"speed/slowest_rank": slowest, "speed/slowest_host": hosts[slowest]}
    return spread
