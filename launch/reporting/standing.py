"""Where the results stand: one row a run with its confidence interval, against the official figures."""

from collections.abc import Sequence
from html import escape

from launch.reporting.axis import label, ticks
from launch.reporting.charts import levels
from launch.reporting.figures import headline, result_interval
from launch.reporting.run_files import RunFiles

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 640, 8, 8, 38, 26, 36


def standing(runs: Sequence[RunFiles]) -> str:
    """Returns the drawing; empty where there is nothing to compare."""
    found = [(i, run, headline(run), result_interval(headline(run), "acc1")) for i, run in enumerate(runs)]
    rows = [(i, run, last["eval/acc1"], ends) for i, run, last, ends in found if ends is not None]
    official = levels(runs, "acc1")
    if not rows or len(rows) + len(official) < 2:
        return ""
    values = [v for *_, ends in rows for v in ends] + [level.value for level in official]
    spread = max(max(values) - min(values), 0.5)
    marks = ticks(max(0.0, min(values) - 0.05 * spread), min(100.0, max(values) + 0.05 * spread), count=6)
    low, high = marks[0], marks[-1]
    height = TOP + ROW * len(rows) + BOTTOM
    bottom = height - BOTTOM

    def at(value: float) -> float:
        return round(LEFT + 20 + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT - 40), 1)

    parts = [
        f'<line class="grid" x1="{at(x)}" x2="{at(x)}" y1="{TOP - 6}" y2="{bottom}"/>'
        f'<text class="x" x="{at(x)}" y="{bottom + 16}">{label(x, marks)}</text>'
        for x in marks
    ]
    for row, level in enumerate(sorted(official, key=lambda level: level.value)):
        x, end = at(level.value), "end" if level.value > (low + high) / 2 else "start"
        parts.append(
            f'<line class="{level.style}" x1="{x}" x2="{x}" y1="{TOP - 10}" y2="{bottom}"/>'
            f'<text x="{x}" y="{TOP - 14 - 13 * (row % 2)}" text-anchor="{end}">{escape(level.name)}</text>'
        )
    for row, (i, run, acc, ends) in enumerate(rows):
        y = TOP + ROW * (row + 0.5)
        left, right, middle = at(ends[0]), at(ends[1]), at(acc)
        style = f"s{i % 8}"
        parts.append(
            f'<line class="whisker {style}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
            f'<circle class="{style}" cx="{middle}" cy="{y}" r="4.5"><title>{escape(run.name)}: {acc:.2f} %, '
            f"95 % interval {ends[0]:.2f} to {ends[1]:.2f}</title></circle>"
        )
    parts.append(
        f'<text class="x" x="{WIDTH / 2}" y="{height - 3}">Acc@1 in %, with its 95 % interval</text>'
    )
    return (
        f'<figure class="standing"><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Acc@1 against the official figure">{"".join(parts)}</svg></figure>'
    )
