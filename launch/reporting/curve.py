"""One chart as inline SVG: lines over epochs, a reference level, marks where a run was resumed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 36
POINTS = 400
"""A line of more points is thinned: what is left still shows each spike."""

DOTS = 30
"""A line of at most so many points shows each as a dot."""

Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a chart. A value of None, or one that is not finite, breaks it."""

    name: str
    points: Points
    style: str = "a"
    """CSS class that colours it: a, b, c, or `reference` (dashed)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart of some lines over the epoch."""

    title: str
    lines: Sequence[Line]
    unit: str = ""
    low: float | None = None
    """Where the vertical axis begins at the latest; free when not given."""
    level: float | None = None
    """A horizontal reference line."""
    level_name: str = ""
    marks: Sequence[float] = ()
    """Epochs at which the run was resumed."""

    def svg(self) -> str:
        """The chart as a `figure` element; empty when no line has a finite value."""
        finite = [(x, y) for line in self.lines for x, y in line.points if _is_finite(y)]
        if not finite:
            return ""
        xs, ys = [x for x, _ in finite], [y for _, y in finite if y is not None]
        ys += [v for v in (self.level, self.low) if v is not None]
        x_ticks, y_ticks = ticks(min(0.0, *xs), max(xs)), ticks(min(ys), max(ys), count=4)
        x_low, x_high = x_ticks[0], max(*xs, x_ticks[0] + 1e-9)
        if x_ticks[-1] - x_high < 0.02 * (x_high - x_low):  # so near that its label belongs on the axis
            x_high = x_ticks[-1]
        y_low, y_high = y_ticks[0], y_ticks[-1]

        def at(x: float, y: float) -> tuple[float, float]:
            across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
            down = HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
            return round(across, 1), round(down, 1)

        parts: list[str] = []
        for y in y_ticks:
            _, down = at(x_low, y)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>')
            parts.append(f'<text class="y" x="{LEFT - 8}" y="{down + 4}">{label(y, y_ticks)}</text>')
        for x in (x for x in x_ticks if x <= x_high):
            across, _ = at(x, y_low)
            parts.append(
                f'<text class="x" x="{across}" y="{HEIGHT - BOTTOM + 16}">{label(x, x_ticks)}</text>'
            )
        parts.append(f'<text class="x" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}">epoch</text>')
        for x in self.marks:
            across, _ = at(x, y_low)
            parts.append(
                f'<line class="mark" x1="{across}" x2="{across}" y1="{TOP}" y2="{HEIGHT - BOTTOM}">'
                f"<title>resumed at epoch {x:.2f}</title></line>"
            )
        if self.level is not None:
            _, down = at(x_low, self.level)
            parts.append(
                f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>'
            )
        for line in self.lines:
            for run in pieces(line.points):
                parts.append(_stroke([at(x, y) for x, y in run], line, run))
        title = escape(self.title)
        return (
            f'<figure><figcaption>{title}<span class="unit">{escape(self.unit)}</span></figcaption>'
            f'{self._legend()}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
            f"{''.join(parts)}</svg></figure>"
        )

    def _legend(self) -> str:
        shown = [(line.name, line.style) for line in self.lines if any(_is_finite(y) for _, y in line.points)]
        if self.level is not None:
            shown.append((self.level_name, "reference"))
        keys = "".join(f'<span class="key {escape(s)}">{escape(n)}</span>' for n, s in shown)
        return f'<div class="legend">{keys}</div>' if len(shown) > 1 else '<div class="legend"></div>'


def pieces(points: Points) -> list[list[tuple[float, float]]]:
    """The unbroken pieces of a line, thinned to about `POINTS` in all: each stretch keeps its ends."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or not math.isfinite(y):
            found.append([])
        else:
            found[-1].append((x, y))
    total = sum(map(len, found))
    stretch = max(1, math.ceil(2 * total / POINTS))
    return [_thin(piece, stretch) if total > POINTS else piece for piece in found if piece]


def _thin(piece: list[tuple[float, float]], stretch: int) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for i in range(0, len(piece), stretch):
        part = piece[i : i + stretch]
        extremes = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
        kept += sorted(extremes)
    return kept


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
    """`value` with as many digits as tell the ticks apart."""
    step = all_ticks[1] - all_ticks[0]
    digits = next((d for d in range(8) if abs(round(step, d) - step) < step / 100), 8)
    largest = max(map(abs, all_ticks))
    if largest >= 1e5 or (0 < largest < 1e-3):
        return f"{value:.3g}"
    return f"{value:,.{digits}f}"


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _stroke(at: list[tuple[float, float]], line: Line, values: list[tuple[float, float]]) -> str:
    way = " ".join(f"{x},{y}" for x, y in at)
    drawn = f'<polyline class="{escape(line.style)}" points="{way}"/>' if len(at) > 1 else ""
    if len(at) > DOTS:
        return drawn
    dots = (
        f'<circle class="{escape(line.style)}" cx="{x}" cy="{y}" r="2.6">'
        f"<title>{escape(line.name)}: {value:.4g} at epoch {epoch:.2f}</title></circle>"
        for (x, y), (epoch, value) in zip(at, values, strict=True)
    )
    return drawn + "".join(dots)
