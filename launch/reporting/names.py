"""What people call the metrics of speed and health, and in which unit they read them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """The title and unit of a metric, and what its values are multiplied with to be in that unit."""

    title: str
    unit: str = ""
    scale: float = 1.0
    form: str = ",.6g"


_KNOWN = {
    "speed/images_per_s": Named("Throughput", "images/s", form=",.0f"),
    "speed/images_per_s_per_gpu": Named("Throughput of one GPU", "images/s", form=",.0f"),
    "speed/data_wait": Named("Data wait", "% of the step", 100.0, ".2f"),
    "speed/step_ms_p50": Named("Step time, median", "ms", form=",.1f"),
    "speed/step_ms_p95": Named("Step time, 95th percentile", "ms", form=",.1f"),
    "speed/step_ms_p99": Named("Step time, 99th percentile", "ms", form=",.1f"),
    "speed/step_ms_min": Named("Own work of the fastest rank", "ms a step", form=",.1f"),
    "speed/step_ms_median": Named("Own work of the median rank", "ms a step", form=",.1f"),
    "speed/step_ms_max": Named("Own work of the slowest rank", "ms a step", form=",.1f"),
    "health/grad_norm": Named("Gradient norm", form=".3g"),
    "health/ema_distance": Named("Distance of the EMA weights", form=".3g"),
    "health/loss_scale": Named("Loss scale"),
    "health/skipped_steps": Named("Skipped steps"),
    "health/skipped_in_a_row": Named("Skipped in a row"),
    "health/bad_images": Named("Bad images"),
    "health/restarts": Named("Restarts"),
    "health/failed_saves": Named("Failed checkpoints"),
    "health/checkpoint_s": Named("Checkpoint", "s", form=".2f"),
    "health/gpu_memory_gib": Named("GPU memory", "GiB", form=".2f"),
    "health/goodput": Named("Goodput", "% of wall time", 100.0, ".1f"),
    "health/gpu_hours": Named("GPU-hours", "h", form=",.2f"),
    "health/energy_kwh": Named("Energy", "kWh", form=",.2f"),
}

APART = ("speed/slowest_rank",)
"""Numbers that are no measurement: nothing is drawn of them."""


def named(metric: str) -> Named:
    """Returns how `metric` is shown; one that is not known is shown by its own name."""
    return _KNOWN.get(metric) or Named(metric.partition("/")[2].replace("_", " ").capitalize())


def order(metric: str) -> tuple[int, str]:
    """Sorts metrics: those that are known first, as they stand here."""
    known = list(_KNOWN)
    return (known.index(metric) if metric in known else len(known), metric)
