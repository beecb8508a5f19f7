"""The plots that workspace and report on W&B are made of, by section."""

from collections.abc import Sequence
from typing import Any

LINES: dict[str, tuple[tuple[str, Sequence[str], tuple[float | None, float | None]], ...]] = {
    "Accuracy": (
        (
            "Acc@1: ours, expected, official, earlier attempt (%)",
            ["eval/acc1", "expected/acc1", "official/acc1", "earlier/acc1"],
            (None, None),
        ),
        ("Acc@5: ours, official (%)", ["eval/acc5", "official/acc5"], (None, None)),
        ("Gap to official (points)", ["gap/acc1", "gap/acc5"], (None, None)),
        ("Evaluation loss", ["eval/loss"], (None, None)),
    ),
    "Training": (
        ("Loss", ["train/loss"], (None, None)),
        ("Acc@1 of training batches (%)", ["train/acc1"], (0, 100)),
        ("Learning rate", ["train/lr"], (0, None)),
    ),
    "Speed": (
        ("Images per second, in all", ["speed/images_per_s"], (0, None)),
        ("Images per second and GPU", ["speed/images_per_s_per_gpu"], (0, None)),
        ("Data wait (share of the step)", ["speed/data_wait"], (0, 1)),
        ("Step time: p50, p95, p99 (ms)", [f"speed/step_ms_p{p}" for p in (50, 95, 99)], (0, None)),
    ),
    "Health": (
        ("Skipped steps", ["health/skipped_steps"], (0, None)),
        ("Bad images", ["health/bad_images"], (0, None)),
        ("Loss scale", ["health/loss_scale"], (None, None)),
        ("Restarts", ["health/restarts"], (0, None)),
        ("Gradient norm", ["health/grad_norm"], (None, None)),
        ("Distance of the EMA", ["health/ema_distance"], (0, None)),
        ("Checkpoints that failed", ["health/failed_saves"], (0, None)),
    ),
    "Cost": (
        ("Goodput (share of wall time)", ["cost/goodput"], (0, 1)),
        ("GPU-hours", ["cost/gpu_hours"], (0, None)),
        ("GPU memory (GiB)", ["cost/gpu_memory_gib"], (0, None)),
        (
            "Checkpoints: written, training held up (s)",
            ["cost/checkpoint_s", "cost/checkpoint_stall_s"],
            (0, None),
        ),
        ("Energy (kWh)", ["cost/energy_kwh"], (0, None)),
    ),
}
"""Title, metrics and range of every line plot."""

BY_EPOCH = ("eval/", "expected/", "official/", "earlier/", "gap/", "train/", "health/ema_distance")
"""What is drawn over epochs; the rest is drawn over images_seen."""

COLUMNS = (
    *("run:displayName", "config:variant", "summary:last/acc1", "summary:official/acc1", "summary:gap/acc1"),
    *("summary:last/acc5", "summary:official/acc5", "summary:best/acc1", "summary:earlier/acc1"),
    *("summary:hours", "summary:gpu_hours", "summary:goodput", "summary:restarts"),
)
"""Columns of the table of runs."""

_WIDTH, _HEIGHT, _PER_ROW = 8, 6, 3


def sections() -> dict[str, list[Any]]:
    """Returns the sections' panels, of wandb_workspaces.reports.v2, laid out three in a row."""
    from wandb_workspaces.reports.v2 import interface as v2

    made: dict[str, list[Any]] = {
        name: [
            v2.LinePlot(
                title=title,
                x=v2.Metric("epoch" if metrics[0].startswith(BY_EPOCH) else "images_seen"),
                y=[v2.Metric(metric) for metric in metrics],
                range_y=span,
                ignore_outliers=False,
            )
            for title, metrics, span in plots
        ]
        for name, plots in LINES.items()
    }
    made["Accuracy"].insert(
        0,
        v2.ScatterPlot(
            title="All widths: last Acc@1 (y) against the official one (x)",
            x=v2.SummaryMetric("official/acc1"),
            y=v2.SummaryMetric("last/acc1"),
        ),
    )
    made["Runs"] = [v2.RunComparer(diff_only="split", layout=v2.Layout(w=3 * _WIDTH, h=2 * _HEIGHT))]
    for panels in made.values():
        for k, panel in enumerate(panels):
            panel.layout.x, panel.layout.y = _WIDTH * (k % _PER_ROW), _HEIGHT * (k // _PER_ROW)
    return made
