"""Which curves the report page shows, of one run or of several."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from launch.reporting.curve import Chart, Level, Line, Points
from launch.reporting.figures import headline_evaluations, numbers
from launch.reporting.names import APART, TOTALS, bare, named, order
from launch.reporting.run_files import RunFiles

HEALTH = ("health/", "cost/")
"""Groups of metrics that the page shows as health."""

_STEP_TIMES = {
    "speed/step_ms_p50": "median",
    "speed/step_ms_p95": "95th percentile",
    "speed/step_ms_p99": "99th",
}
_RANKS = {
    "speed/step_ms_min": "fastest",
    "speed/step_ms_median": "median",
    "speed/step_ms_max": "slowest",
}
CALLED = {"official": "official", "earlier": "earlier attempt"}
"""Published figures that ours stand beside."""
_ONLY_OF_SEVERAL_RANKS = (*_RANKS, "speed/images_per_s_per_gpu")


def learning(runs: Sequence[RunFiles]) -> list[Chart]:
    """Accuracies and losses, of training and of evaluation."""
    return [_accuracy(runs, "Acc@1", "acc1"), _accuracy(runs, "Acc@5", "acc5"), *_losses(runs)]


def schedule(runs: Sequence[RunFiles]) -> list[Chart]:
    """Learning rate and image size."""
    rate = _chart(runs, "Learning rate", "train/lr", low=0.0)
    size = Chart(
        title="Image size",
        unit="pixels",
        lines=[
            Line(name=run.name, points=_image_size(run), style=f"{_style(i)} steps")
            for i, run in enumerate(runs)
        ],
        low=0.0,
        legend=False,
    )
    return [rate, size]


def speed(runs: Sequence[RunFiles]) -> list[Chart]:
    """Throughput, data wait and step times, and whatever else a run has measured of its speed."""
    several = any((run.facts.get("plan") or {}).get("ranks", 1) > 1 for run in runs)
    shown, done = [], set[str]()
    for metric in metrics(runs, "speed/"):
        family = next((f for f in (_STEP_TIMES, _RANKS) if metric in f), None)
        if metric in done or (metric in _ONLY_OF_SEVERAL_RANKS and not several):
            continue
        if family is None:
            shown.append(_measured(runs, metric))
            continue
        title = "Step time" if family is _STEP_TIMES else "Own work of the ranks"
        found = {m: name for m, name in family.items() if m in metrics(runs, "speed/")}
        done |= set(found)
        shown.append(_family(runs, title, found))
    return shown


def health(runs: Sequence[RunFiles]) -> list[Chart]:
    """Every metric of health and cost that changes."""
    return [_measured(runs, m) for m in metrics(runs, *HEALTH) if is_drawn(runs, m)]


def metrics(runs: Iterable[RunFiles], *groups: str) -> list[str]:
    """The numbers that the runs have measured under names of these groups, in the page's order."""
    found = {
        name
        for run in runs
        for record in run.records
        for name, value in record.items()
        if name.startswith(groups) and isinstance(value, int | float) and bare(name) not in APART
    }
    return sorted(found, key=order)


def _accuracy(runs: Sequence[RunFiles], title: str, metric: str) -> Chart:
    name, reference = f"eval/{metric}", levels(runs, metric)
    if len(runs) == 1:
        train = Line(name="training", points=_points(runs[0], f"train/{metric}"), style="soft")
        lines = [train, *_of_weights(runs[0], name), *_held_out(runs[0], f"held-out/{metric}")]
        if metric == "acc1" and (expected := runs[0].facts.get("expected")):
            lines.append(Line(name="expected", points=_pairs(expected["points"]), style="expected"))
    else:
        lines = _overlaid(runs, lambda run: _of(headline_evaluations(run), name))
    return Chart(
        title=title,
        unit="%",
        lines=lines,
        levels=[level for level in reference if level.style == "official" or len(reference) < 3],
        marks=marks(runs),
        legend=len(runs) == 1,
    )


def _losses(runs: Sequence[RunFiles]) -> list[Chart]:
    if len(runs) == 1:
        train = Line(name="training", points=_points(runs[0], "train/loss"), style="soft")
        return [Chart(title="Loss", lines=[train, *_of_weights(runs[0], "eval/loss")], marks=marks(runs))]
    evaluated = _overlaid(runs, lambda run: _of(headline_evaluations(run), "eval/loss"))
    return [
        Chart(title="Loss in evaluation", lines=evaluated, legend=False),
        _chart(runs, "Loss in training", "train/loss"),
    ]


def levels(runs: Sequence[RunFiles], metric: str) -> list[Level]:
    """The official figure and the earlier attempt's, once for each variant among the runs."""
    found: dict[tuple[float, str], str] = {}
    variants = {str(run.facts.get("variant")) for run in runs}
    for run in runs:
        for name in ("official", "earlier"):
            value = (run.facts.get(name) or {}).get(metric)
            if isinstance(value, int | float):
                of = f", {run.facts.get('variant')}" if len(variants) > 1 else ""
                found[(value, name)] = f"{CALLED[name]} {value:.2f}{of}"
    return [Level(value=value, name=text, style=style) for (value, style), text in found.items()]


def _of_weights(run: RunFiles, metric: str) -> list[Line]:
    evaluations = run.of_kind("eval")
    found = sorted({str(r.get("weights", "model")) for r in evaluations})  # ema before model
    return [
        Line(
            name=run.called(weights),
            points=_of((r for r in evaluations if r.get("weights", "model") == weights), metric),
            style=_style(i),
        )
        for i, weights in enumerate(found)
    ]


def _held_out(run: RunFiles, metric: str) -> list[Line]:
    """The images that were kept back from training, of the average where there is one."""
    points = _of((r for r in run.of_kind("eval") if r.get("weights", "ema") == "ema"), metric)
    return [Line(name="held-out images", points=points, style="s4")] if points else []


def _pairs(points: Iterable[Sequence[float]]) -> Points:
    return [(float(epoch), float(value)) for epoch, value in points]


def _measured(runs: Sequence[RunFiles], metric: str) -> Chart:
    how = named(metric)
    return _chart(runs, how.title, metric, unit=how.unit, scale=how.scale, low=0.0)


def _family(runs: Sequence[RunFiles], title: str, family: Mapping[str, str]) -> Chart:
    """One chart of metrics that belong together; of several runs, the first of them."""
    first = next(iter(family))
    if len(runs) > 1:
        return _chart(runs, f"{title}, {family[first]}", first, unit=named(first).unit, low=0.0)
    lines = [
        Line(name=name, points=_points(runs[0], metric), style=_style(i))
        for i, (metric, name) in enumerate(family.items())
    ]
    return Chart(title=title, unit=named(first).unit, lines=lines, low=0.0, marks=marks(runs))


def _chart(
    runs: Sequence[RunFiles],
    title: str,
    metric: str,
    *,
    unit: str = "",
    scale: float = 1.0,
    low: float | None = None,
) -> Chart:
    lines = _overlaid(runs, lambda run: _points(run, metric, scale))
    return Chart(title=title, unit=unit, lines=lines, low=low, marks=marks(runs), legend=False)


def _overlaid(runs: Sequence[RunFiles], points: Callable[[RunFiles], Points]) -> list[Line]:
    return [Line(name=run.name, points=points(run), style=_style(i)) for i, run in enumerate(runs)]


def _image_size(run: RunFiles) -> Points:
    """The sizes that were measured; of a run that notes none, the one that it was asked for."""
    noted = _points(run, "train/image_size")
    size = ((run.facts.get("run") or {}).get("augmentation") or {}).get("image_size")
    trained = _points(run, "train/lr")
    if noted or not trained or not isinstance(size, int):
        return noted
    return [(0.0, size), (trained[-1][0], size)]


def is_drawn(runs: Sequence[RunFiles], metric: str) -> bool:
    """Whether a run has measured more than one value of `metric`, and these are no running sum."""
    return bare(metric) not in TOTALS and any(len(set(numbers(run.records, metric))) > 1 for run in runs)


def marks(runs: Sequence[RunFiles]) -> list[float]:
    """Where one run was resumed; several runs' marks would hide the lines."""
    if len(runs) > 1:
        return []
    return [float(r["epoch"]) for r in runs[0].of_kind("event") if r.get("event") == "resume"]


def _points(run: RunFiles, metric: str, scale: float = 1.0) -> Points:
    return _of(run.records, metric, scale)


def _of(records: Iterable[Mapping[str, Any]], metric: str, scale: float = 1.0) -> Points:
    found = ((float(r["epoch"]), r[metric]) for r in records if metric in r)
    return [(x, y * scale if isinstance(y, int | float) else None) for x, y in found]


def _style(i: int) -> str:
    return f"s{i % 8}"
