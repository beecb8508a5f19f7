"""Numbers of a run, and how they are written for people."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from launch.reporting.run_files import RunFiles


def headline(run: RunFiles) -> Mapping[str, Any]:
    """The last evaluation of the EMA weights, of the trained ones where there are none; empty without any."""
    return (headline_evaluations(run) or [{}])[-1]


def headline_evaluations(run: RunFiles) -> list[dict[str, Any]]:
    """The evaluations of the weights that the result is named for."""
    evaluations = run.of_kind("eval")
    return [r for r in evaluations if r.get("weights") == "ema"] or evaluations


def interval(acc: float, images: int) -> tuple[float, float]:
    """The 95 % confidence interval of an accuracy in percent over `images` images.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    z, p = 1.96, acc / 100
    middle = (p + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(p * (1 - p) / images + z * z / (4 * images * images))
    return 100 * (middle - half), 100 * (middle + half)


def time_spent(run: RunFiles) -> float:
    """Seconds between a run's records, less the pauses between its attempts."""
    spent, before = 0.0, None
    for record in run.records:
        now = record.get("time")
        if not isinstance(now, int | float):
            continue
        if before is not None and record.get("event") not in ("start", "resume"):
            spent += max(0.0, now - before)
        before = now
    return spent


def median(records: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    values = sorted(_numbers(records, metric))
    return values[len(values) // 2] if values else None


def mean(records: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    values = _numbers(records, metric)
    return sum(values) / len(values) if values else None


def figure(value: Any, form: str, unit: str = "") -> str:
    """`value` in `form` with its unit; `-` when there is none."""
    if not isinstance(value, int | float):
        return "-"
    return format(value, form).replace("%", " %") + unit


def gap(ours: Any, theirs: Any) -> str:
    known = isinstance(ours, int | float) and isinstance(theirs, int | float)
    return f"{ours - theirs:+.2f}" if known else "-"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def when(seconds: Any) -> str:
    """Unix seconds as a date and time of day."""
    if not isinstance(seconds, int | float):
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + " UTC"


def _numbers(records: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    return [r[metric] for r in records if isinstance(r.get(metric), int | float)]
