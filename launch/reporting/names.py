"""What people call the metrics of speed, health and cost, and in which unit they read them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """The title and unit of a metric, and what its values are multiplied with to be in that unit."""

    title: str
    unit: str = ""
    scale: float = 1.0
    form: str = ",.6g"


_KNOWN = {
    "images_per_s": Named("Throughput", "images/s", form=",.0f"),
    "images_per_s_per_gpu": Named("Throughput of one GPU", "images/s", form=",.0f"),
    "data_wait": Named("Data wait", "% of the step", 100.0, ".2f"),
    "step_ms_p50": Named("Step time, median", "ms", form=",.1f"),
    "step_ms_p95": Named("Step time, 95th percentile", "ms", form=",.1f"),
    "step_ms_p99": Named("Step time, 99th percentile", "ms", form=",.1f"),
    "step_ms_min": Named("Own work of the fastest rank", "ms a step", form=",.1f"),
    "step_ms_median": Named("Own work of the median rank", "ms a step", form=",.1f"),
    "step_ms_max": Named("Own work of the slowest rank", "ms a step", form=",.1f"),
    "grad_norm": Named("Gradient norm", form=".3g"),
    "ema_distance": Named("Distance of the EMA weights", "% of their norm", 100.0, ".3g"),
    "loss_scale": Named("Loss scale"),
    "skipped_steps": Named("Skipped steps"),
    "skipped_in_a_row": Named("Skipped in a row"),
    "bad_images": Named("Bad images"),
    "restarts": Named("Restarts"),
    "failed_saves": Named("Failed checkpoints"),
    "checkpoint_s": Named("Checkpoint written in", "s", form=".2f"),
    "checkpoint_stall_s": Named("Training held up by a checkpoint", "s", form=".3f"),
    "gpu_memory_gib": Named("GPU memory", "GiB", form=".2f"),
    "goodput": Named("Goodput", "% of wall time", 100.0, ".1f"),
    "wall_hours": Named("Wall time", "h", form=",.2f"),
    "gpu_hours": Named("GPU-hours", "h", form=",.2f"),
    "energy_kwh": Named("Energy", "kWh", form=",.2f"),
}
"""By the part of the name behind the group."""

APART = ("slowest_rank", "seconds", "joules")
"""Numbers of which the page shows nothing: no measurement, or told better by another one."""

TOTALS = ("wall_hours", "gpu_hours", "energy_kwh")
"""Sums over the run, of which only the last is of interest."""


def bare(metric: str) -> str:
    """Returns the name of a metric without its group."""
    return metric.partition("/")[2]


def named(metric: str) -> Named:
    """Returns how `metric` is shown; one that is not known is shown by its own name."""
    return _KNOWN.get(bare(metric)) or Named(bare(metric).replace("_", " ").capitalize())


def order(metric: str) -> tuple[int, str]:
    """Sorts metrics: those that are known first, as they stand here."""
    known = list(_KNOWN)
    return (known.index(bare(metric)) if bare(metric) in known else len(known), metric)
