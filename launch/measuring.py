"""How fast batches come, of several ways to make them."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

from launch.engine.ports import MicroBatch

FAR = 10**12
"""A step that no measurement reaches."""

_ROUNDS = 2
_AHEAD = 128  # batches, more than a turn has read and not shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Fed:
    """What came in a turn: images, in how many seconds, for how many of the processor."""

    images: int
    seconds: float
    cpu_seconds: float


class Turns:
    """Times one way after another for `seconds` each; until the first batch is not counted.

    A turn begins at the step where the one before has ended, so that no way finds its files in memory because
    another one has read them.
    """

    def __init__(self, seconds: float):
        self.seconds, self.step = seconds, 0

    def take(self, way: Callable[[int], Generator[MicroBatch]]) -> Fed:
        """Times a way, which gives endless batches from a step on."""
        images, passed = 0, 0.0
        with closing(way(self.step)) as batches:
            _wait(next(batches))
            began, used = time.perf_counter(), time.process_time()
            while passed < self.seconds:
                batch = next(batches)
                _wait(batch)
                images += len(batch.ids)
                self.step += 1
                passed = time.perf_counter() - began
            used = time.process_time() - used
        self.step += _AHEAD
        return Fed(images=images, seconds=passed, cpu_seconds=used)


def measure_rates(
    ways: Mapping[str, Callable[[int], Generator[MicroBatch]]], *, seconds: float = 10.0
) -> dict[str, float]:
    """Returns the images per second of each way, timed for `seconds`.

    The ways take turns, in a second round backwards, so that what changes meanwhile meets all alike.
    """
    turns, names = Turns(seconds / _ROUNDS), list(ways)
    fed: dict[str, list[Fed]] = {name: [] for name in names}
    for number in range(_ROUNDS):
        for name in names[:: -1 if number % 2 else 1]:
            fed[name].append(turns.take(ways[name]))
    return {
        name: sum(turn.images for turn in taken) / sum(turn.seconds for turn in taken)
        for name, taken in fed.items()
    }


def _wait(batch: MicroBatch) -> None:
    """Returns when the device has made a batch's images."""
    batch.images[0, 0, 0, 0].item()
