"""The numbers along an axis."""

import math
from collections.abc import Sequence


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round numbers, evenly spaced, from at most `low` to at least `high`."""
    span = high - low
    if span <= 0:
        span = abs(high) * 0.1 or 1.0
        low, high = low - span / 2 if low else 0.0, high + span / 2
        span = high - low
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def label(value: float, all_ticks: Sequence[float]) -> str:
    """`value` with as many digits as tell the ticks apart; thousands as k and millions as M."""
    step, largest = all_ticks[1] - all_ticks[0], max(map(abs, all_ticks))
    if 0 < largest < 1e-3:
        return f"{value:.3g}"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * size:
            return f"{value / size:,.{_digits(step / size)}f}{letter}" if value else "0"
    return f"{value:,.{_digits(step)}f}"


def _digits(step: float) -> int:
    return next((d for d in range(8) if abs(round(step, d) - step) < step / 100), 8)
