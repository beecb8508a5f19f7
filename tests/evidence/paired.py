"""Differences between runs of the same seeds, with a confidence interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""97.5 % quantiles of Student's t by degrees of freedom (Student 1908; any table of it)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The mean of paired differences and the half-width of its 95 % interval, in points."""

    mean: float
    half: float
    seeds: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves 0 out."""
        return abs(self.mean) > self.half

    def __str__(self) -> str:
        text = f"{self.mean:+.2f} [{self.mean - self.half:+.2f}, {self.mean + self.half:+.2f}]"
        return text if self.shown else f"{text}, no effect shown"


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Returns ours minus theirs over the seeds that both have; None where these are fewer than two.

    >>> str(difference({0: 3.0, 1: 4.0, 2: 5.0}, {0: 1.0, 1: 2.0, 2: 3.1}))
    '+1.97 [+1.82, +2.11]'
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return None
    values = [ours[seed] - theirs[seed] for seed in seeds]
    half = _T[len(values) - 1] * stdev(values) / math.sqrt(len(values))
    return Difference(mean=mean(values), half=half, seeds=len(values))


def spread(values: Mapping[int, float]) -> float:
    """Returns the largest value minus the smallest."""
    return max(values.values()) - min(values.values())
