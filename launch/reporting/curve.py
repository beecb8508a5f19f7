"""One chart as inline SVG: lines over epochs, levels to hold them against, marks where a run was resumed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from launch.reporting.axis import label, ticks

WIDTH, HEIGHT = 400, 212
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 16, 36
POINTS = 400
"""A line of more points is thinned: what is left still shows each spike."""

DOTS = 30
"""A line of at most so many points shows each as a dot."""

Points = Sequence[tuple[float, float | None]]

Place = Callable[[float, float], tuple[float, float]]
"""From a value to a place in the drawing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a chart. A value of None, or one that is not finite, breaks it."""

    name: str
    points: Points
    style: str = "s0"
    """CSS classes: s0 to s7 or soft colour it; with steps, a value holds until the next."""

    @property
    def is_empty(self) -> bool:
        return not any(_is_finite(y) for _, y in self.points)


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A horizontal line to hold the others against, with its name beside it."""

    value: float
    name: str
    style: str = "official"
    """CSS class: official or earlier."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart of some lines over the epoch, or over what `across` names."""

    title: str
    lines: Sequence[Line]
    unit: str = ""
    low: float | None = None
    """Where the vertical axis begins at the latest; free when not given."""
    high: float | None = None
    """Where the vertical axis ends at the earliest; free when not given."""
    levels: Sequence[Level] = ()
    marks: Sequence[float] = ()
    """Epochs at which the run was resumed."""
    across: str = "epoch"
    legend: bool = True
    """Whether several lines are named above the chart."""

    def svg(self) -> str:
        """The chart as a `figure` element; empty when no line has a finite value."""
        lines = [line for line in self.lines if not line.is_empty]
        if not lines:
            return ""
        parts, at = self._axes(lines)
        bottom = HEIGHT - BOTTOM
        for x in self.marks:
            across, _ = at(x, 0.0)
            parts.append(
                f'<line class="mark" x1="{across}" x2="{across}" y1="{TOP}" y2="{bottom}">'
                f"<title>resumed at epoch {x:.2f}</title></line>"
            )
        for line in lines:
            for run in pieces(line.points):
                parts.append(self._stroke([at(x, y) for x, y in run], line, run))
        parts += self._levels(at)
        title = escape(self.title)
        return (
            f'<figure><figcaption>{title}<span class="unit">{escape(self.unit)}</span></figcaption>'
            f'{self._legend(lines)}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
            f"{''.join(parts)}</svg></figure>"
        )

    def _axes(self, lines: Sequence[Line]) -> tuple[list[str], Place]:
        """Returns grid and labels, and the way from a value to its place in the drawing."""
        finite = [(x, y) for line in lines for x, y in line.points if y is not None and math.isfinite(y)]
        xs, ys = [x for x, _ in finite], [y for _, y in finite]
        ys += [v for v in (self.low, self.high, *(level.value for level in self.levels)) if v is not None]
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
            base = "rule base" if y == y_low else "rule"
            parts.append(f'<line class="{base}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>')
            parts.append(f'<text class="y" x="{LEFT - 7}" y="{down + 4}">{label(y, y_ticks)}</text>')
        for x in (x for x in x_ticks if x <= x_high):
            across, _ = at(x, y_low)
            parts.append(
                f'<text class="x" x="{across}" y="{HEIGHT - BOTTOM + 16}">{label(x, x_ticks)}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text class="x" x="{middle}" y="{HEIGHT - 3}">{escape(self.across)}</text>')
        return parts, at

    def _levels(self, at: Place) -> list[str]:
        parts, above = [], float(HEIGHT)
        for i, level in enumerate(sorted(self.levels, key=lambda level: level.value)):
            _, down = at(0.0, level.value)
            below = i == 0 and len(self.levels) > 1  # so that names of levels that lie close are apart
            above = text = down + 12 if below else min(down - 4, above - 13)
            parts.append(
                f'<line class="{escape(level.style)}" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                f'y1="{down}" y2="{down}"/>'
                f'<text x="{LEFT + 4}" y="{text}">{escape(level.name if len(self.levels) < 3 else "")}</text>'
            )
        return parts

    def _stroke(self, at: list[tuple[float, float]], line: Line, values: list[tuple[float, float]]) -> str:
        way, style = at, escape(line.style)
        if "steps" in line.style.split():
            way = [p for a, b in pairwise(at) for p in (a, (b[0], a[1]))] + at[-1:]
        drawn = ""
        if len(at) > 1:
            drawn = f'<polyline class="{style}" points="{" ".join(f"{x},{y}" for x, y in way)}"/>'
        if len(at) > DOTS or (way is not at and len(at) > 1):
            return drawn
        dots = (
            f'<circle class="{style}" cx="{x}" cy="{y}" r="2.4">'
            f"<title>{escape(line.name)}: {value:.4g} at {escape(self.across)} {place:.4g}</title></circle>"
            for (x, y), (place, value) in zip(at, values, strict=True)
        )
        return drawn + "".join(dots)

    def _legend(self, lines: Sequence[Line]) -> str:
        keys = "".join(f'<span class="key {escape(e.style)}">{escape(e.name)}</span>' for e in lines)
        return f'<div class="legend">{keys if self.legend and len(lines) > 1 else ""}</div>'


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


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
