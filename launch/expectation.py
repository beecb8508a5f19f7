"""What an accuracy is held against: a figure, its distance from ours, and how certain that distance is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95

_ROUNDING = 1e-9  # points; far above the rounding of floats and far below one image of a data set


def wilson_interval(hits: int, images: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns between which shares, 0 to 1, a probability lies that gave `hits` among `images` draws.

    Wilson's score interval of a binomial proportion: with p = hits / images and z the normal quantile,
    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n) (Wilson 1927, Journal of the American
    Statistical Association 22, https://doi.org/10.1080/01621459.1927.10502953).

    >>> low, high = wilson_interval(15, 148)
    >>> round(low, 4), round(high, 4)
    (0.0624, 0.1605)
    """
    assert 0 <= hits <= images and images > 0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, n = hits / images, images
    centre = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    whole = 1 + z * z / n
    return max(0.0, (centre - reach) / whole), min(1.0, (centre + reach) / whole)


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
