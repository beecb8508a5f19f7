"""Where the results stand: one row a run with its confidence interval, against the official figures."""

from collections.abc import Sequence
from html import escape

from launch.reporting.axis import label, ticks
from launch.reporting.charts import levels
from launch.reporting.figures import headline, result_interval
from launch.reporting.run_files import RunFiles

WIDTH, SIDE, TOP, LIFT, ROW = 640, 28, 32, 24, 26


def standing(runs: Sequence[RunFiles]) -> str:
    """Returns the drawing; empty where there is nothing to compare."""
    found = [(i, run, headline(run), result_interval(headline(run), "acc1")) for i, run in enumerate(runs)]
    rows = [(i, run, last["eval/acc1"], ends) for i, run, last, ends in found if ends is not None]
    known = sorted(levels(runs, "acc1"), key=lambda level: level.value)
    reference = [level for level in known if level.style == "official" or len(known) < 3]
    if not rows or len(rows) + len(reference) < 2:
        return ""
    values = [v for *_, ends in rows for v in ends] + [level.value for level in reference]
    spread = max(max(values) - min(values), 0.5)
    marks = ticks(max(0.0, min(values) - 0.05 * spread), min(100.0, max(values) + 0.05 * spread), count=6)
    low, high = marks[0], marks[-1]

    def at(value: float) -> float:
        return round(SIDE + (value - low) / (high - low) * (WIDTH - 2 * SIDE), 1)

    lifted = _lifted([at(level.value) for level in reference])
    top = TOP + LIFT * max(lifted, default=0)
    bottom = top + ROW * len(rows)
    parts = [
        f'<line class="rule" x1="{at(x)}" x2="{at(x)}" y1="{top}" y2="{bottom}"/>'
        f'<text class="x" x="{at(x)}" y="{bottom + 18}">{label(x, marks)}</text>'
        for x in marks
    ]
    for level, up in zip(reference, lifted, strict=True):
        x, end = at(level.value), "end" if level.value > (low + high) / 2 else "start"
        parts.append(
            f'<line class="{level.style}" x1="{x}" x2="{x}" y1="{top - 6 - LIFT * up}" y2="{bottom}"/>'
            f'<text x="{x}" y="{top - 10 - LIFT * up}" text-anchor="{end}">{escape(level.name)}</text>'
        )
    for row, (i, run, acc, ends) in enumerate(rows):
        y = top + ROW * (row + 0.5)
        left, right, middle = at(ends[0]), at(ends[1]), at(acc)
        style = f"s{i % 8}"
        parts.append(
            f'<line class="whisker {style}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
            f'<circle class="{style}" cx="{middle}" cy="{y}" r="4.5"><title>{escape(run.name)}: {acc:.2f} %, '
            f"95 % interval {ends[0]:.2f} to {ends[1]:.2f}</title></circle>"
        )
    return (
        '<figure class="standing"><figcaption>Acc@1<span class="unit">%, with its 95 % interval</span>'
        "</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img" aria-label="Acc@1 against the official figure">'
        f"{''.join(parts)}</svg></figure>"
    )


def _lifted(places: Sequence[float]) -> list[int]:
    """Returns how many rows the name at each place, from left to right, is lifted to lie on no other."""
    rows: list[int] = []
    for i, x in enumerate(places):
        rows.append(rows[-1] + 1 if i and x - places[i - 1] < 300 else 0)
    return rows
