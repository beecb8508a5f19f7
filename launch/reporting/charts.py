"""Which curves the report page shows."""

from collections.abc import Iterable, Mapping
from typing import Any

from launch.reporting.curve import Chart, Line
from launch.reporting.run_files import WEIGHTS, RunFiles


def charts(run: RunFiles) -> list[Chart]:
    """The charts of a run, in the order of the page; one without a value draws nothing."""
    train, official = run.of_kind("train"), run.facts.get("official") or {}
    marks = [float(r["epoch"]) for r in run.of_kind("event") if r.get("event") == "resume"]

    def of_weights(metric: str) -> list[Line]:
        evals = run.of_kind("eval")
        found = sorted({str(r.get("weights", "model")) for r in evals})  # ema before model
        return [
            Line(
                name=WEIGHTS.get(weights, weights),
                points=_points((r for r in evals if r.get("weights", "model") == weights), metric),
                style="ab"[i % 2],
            )
            for i, weights in enumerate(found)
        ]

    def of_train(metric: str, *, name: str, style: str = "a", scale: float = 1.0) -> Line:
        return Line(name=name, points=_points(train, metric, scale), style=style)

    def single(title: str, metric: str, *, unit: str = "", scale: float = 1.0) -> Chart:
        line = of_train(metric, name=title, scale=scale)
        return Chart(title=title, unit=unit, lines=[line], low=0.0, marks=marks)

    def accuracy(title: str, metric: str) -> Chart:
        return Chart(
            title=title,
            unit="%",
            lines=[
                of_train(f"train/{metric}", name="training batches", style="c"),
                *of_weights(f"eval/{metric}"),
            ],
            level=official.get(metric),
            level_name="official",
            marks=marks,
        )

    loss = [of_train("train/loss", name="training batches", style="c"), *of_weights("eval/loss")]
    shown = [
        accuracy("Acc@1", "acc1"),
        accuracy("Acc@5", "acc5"),
        Chart(title="Loss", lines=loss, marks=marks),
        single("Learning rate", "train/lr"),
        single("Speed", "speed/images_per_s", unit="images/s"),
        single("Data wait", "speed/data_wait", unit="% of the step", scale=100.0),
        single("Gradient norm", "health/grad_norm"),
    ]
    for title, metric in (("Loss scale", "health/loss_scale"), ("Skipped steps", "health/skipped_steps")):
        if len({r.get(metric) for r in train}) > 1:  # a constant says nothing
            shown.append(single(title, metric))
    return shown


def _points(records: Iterable[Mapping[str, Any]], metric: str, scale: float = 1.0) -> list[Any]:
    found = ((float(r["epoch"]), r[metric]) for r in records if metric in r)
    return [(x, y * scale if isinstance(y, int | float) else None) for x, y in found]
