"""What a recipe is expected to have reached at an epoch, to stand beside what it has reached."""

from collections.abc import Sequence
from itertools import pairwise


def expected_at(points: Sequence[Sequence[float]], epoch: float) -> float | None:
    """Returns the expected Acc@1 in percent between two of run.json's points, on a straight line.

    None before the first point and after the last.

    >>> expected_at([[10, 50], [20, 70]], 15)
    60.0
    """
    for (before, low), (after, high) in pairwise(points):
        if before <= epoch <= after:
            return low + (high - low) * (epoch - before) / (after - before)
    return None
