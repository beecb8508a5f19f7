"""The page's part about classes: accuracies as a curve and as bars, and the pairs that are confused."""

from collections.abc import Sequence
from html import escape

from launch.reporting.classes import Class, by_class, confusions
from launch.reporting.curve import Chart, Line
from launch.reporting.markup import table
from launch.reporting.run_files import RunFiles

ALL = 24
"""So many classes are all shown; of more, the weakest."""
WEAKEST = 16
PAIRS = 12


def class_view(runs: Sequence[RunFiles]) -> str:
    """Returns the figures about classes of the runs that have ended; empty where none has."""
    ended = [(i, run) for i, run in enumerate(runs) if run.guesses is not None]
    if not ended:
        return ""
    counted = {i: by_class(run.guesses) for i, run in ended if run.guesses is not None}
    parts = []
    if max(map(len, counted.values())) > ALL:
        parts.append(_curve(runs, counted).svg())
    parts.append(_bars(runs, counted))
    for i, run in ended:
        assert run.guesses is not None
        rows = [
            [c.name, c.taken_for, f"{c.count:,}", f"{100 * c.count / c.images:.1f} %"]
            for c in confusions(run.guesses, most=PAIRS)
        ]
        key = f'<span class="key s{i % 8}">{escape(run.name)}</span>' if len(runs) > 1 else ""
        body = (
            table(rows, head=["class", "taken for", "images", "of the class"], kind="pairs")
            if rows
            else '<p class="note">no image was taken for another class</p>'
        )
        parts.append(f"<figure><figcaption>Most confused{key}</figcaption>{body}</figure>")
    return "".join(parts)


def _curve(runs: Sequence[RunFiles], counted: dict[int, list[Class]]) -> Chart:
    lines = []
    for i, classes in counted.items():
        accuracies = sorted(c.acc1 for c in classes)
        points = [(float(n), acc) for n, acc in enumerate(accuracies, start=1)]
        lines.append(Line(name=runs[i].name, points=points, style=f"s{i % 8}"))
    return Chart(
        title="Classes by Acc@1", unit="%", lines=lines, low=0.0, high=100.0, across="classes", legend=False
    )


def _bars(runs: Sequence[RunFiles], counted: dict[int, list[Class]]) -> str:
    """One row a class, a dot for each run, the weakest first. Classes of another data set are left out."""
    first = next(iter(counted.values()))
    shown = {c.name for c in first}
    alike = {i: {c.name: c for c in classes} for i, classes in counted.items()}
    alike = {i: classes for i, classes in alike.items() if classes.keys() == shown}

    def average(name: str) -> float:
        return sum(classes[name].acc1 for classes in alike.values()) / len(alike)

    names = sorted(shown, key=lambda name: (average(name), name))
    names = names if len(names) <= ALL else names[:WEAKEST]
    rows = []
    for name in names:
        found = {i: classes[name] for i, classes in alike.items()}
        dots = "".join(
            f'<i class="s{i % 8}" style="left:{c.acc1:.1f}%" title="{escape(runs[i].name)}: {c.hits} of '
            f'{c.images}"></i>'
            for i, c in found.items()
        )
        rows.append(
            f'<tr><th title="{escape(name)}">{escape(name)}</th>'
            f'<td class="track"><div>{dots}</div></td><td>{average(name):.1f}</td></tr>'
        )
    title = (
        "Acc@1 of each class"
        if len(names) == len(shown)
        else f"The {len(names)} weakest of {len(shown):,} classes"
    )
    unit = "%" if len(alike) == 1 else "%, mean of the runs"
    return (
        f'<figure><figcaption>{title}<span class="unit">{unit}</span></figcaption>'
        f'<table class="bars">{"".join(rows)}</table></figure>'
    )
