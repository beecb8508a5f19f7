"""How fast batches come, of several ways to make them."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing

from launch.engine.ports import MicroBatch

_ROUNDS = 2
_AHEAD = 128  # batches, more than a turn has read and not shown


def measure_rates(
    ways: Mapping[str, Callable[[int], Generator[MicroBatch]]], *, seconds: float = 10.0
) -> dict[str, float]:
    """Returns the images per second of each way, timed for `seconds`; until the first batch is not counted.

    The ways take turns, in a second round backwards, so that what changes meanwhile meets all alike.

    Args:
        ways: by name, what gives endless batches from a step on. A turn begins where the one before has
            ended, so that no way finds its files in memory because another one has read them.
    """
    images, spent, step = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0.0), 0
    names = list(ways)
    for turn in range(_ROUNDS):
        for name in names[:: -1 if turn % 2 else 1]:
            with closing(ways[name](step)) as batches:
                _wait(next(batches))
                began, passed = time.perf_counter(), 0.0
                while passed < seconds / _ROUNDS:
                    batch = next(batches)
                    _wait(batch)
                    passed = time.perf_counter() - began
                    images[name] += len(batch.ids)
                    step += 1
                spent[name] += passed
            step += _AHEAD
    return {name: images[name] / spent[name] for name in ways}


def _wait(batch: MicroBatch) -> None:
    """Returns when the device has made a batch's images."""
    batch.images[0, 0, 0, 0].item()
