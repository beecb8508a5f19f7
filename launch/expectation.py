"""What an accuracy is held against: a figure, its distance from ours, and how certain that distance is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from launch.engine.confidence import CONFIDENCE, wilson_interval

_ROUNDING = 1e-9  # points; far above the rounding of floats and far below one image of a data set


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Hits among images, beside a figure in percent; differences are ours minus it, in percentage points."""

    hits: int
    images: int
    figure: float

    @property
    def difference(self) -> float:
        """Our Acc@1 minus the figure."""
        return 100 * self.hits / self.images - self.figure

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the difference's confidence interval; the figure counts as exact."""
        low, high = wilson_interval(self.hits, self.images)
        return 100 * low - self.figure, 100 * high - self.figure

    def within(self, tolerance: float) -> bool:
        """Whether the difference is at most `tolerance` points, either way."""
        return abs(self.difference) <= tolerance + _ROUNDING

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.difference:+.3f} points, {CONFIDENCE:.0%} interval [{low:+.2f}, {high:+.2f}] of "
            f"{self.images} images"
        ).replace("%", " %")


def verdict(comparison: Comparison, *, tolerance: float) -> str:
    """Returns one sentence: our Acc@1, the expected, the difference, and whether it is within `tolerance`."""
    ours = 100 * comparison.hits / comparison.images
    place = "within" if comparison.within(tolerance) else "beyond"
    return (
        f"Acc@1 {ours:.3f} %, expected {_figure(comparison.figure)} %: {comparison}; "
        f"{place} {_figure(tolerance)}"
    )


def _figure(value: float) -> str:
    """Two decimals, or more where there are more."""
    return f"{value:.2f}" if math.isclose(value, round(value, 2), abs_tol=1e-9) else f"{value:.10g}"
