"""Numbers of a run, and how they are written for people."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from launch.engine.confidence import wilson_interval
from launch.reporting.run_files import RunFiles


def headline(run: RunFiles) -> Mapping[str, Any]:
    """The last evaluation of the EMA weights, of the trained ones where there are none; empty without any."""
    return (headline_evaluations(run) or [{}])[-1]


def headline_evaluations(run: RunFiles) -> list[dict[str, Any]]:
    """The evaluations of the weights that the result is named for."""
    evaluations = [r for r in run.of_kind("eval") if "eval/acc1" in r]
    return [r for r in evaluations if r.get("weights") == "ema"] or evaluations


def result_interval(evaluation: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """The 95 % interval of an evaluation's `metric`, acc1 or acc5, in percent; None where it has none."""
    acc, images = evaluation.get(f"eval/{metric}"), evaluation.get("eval/images")
    if not isinstance(acc, int | float) or not isinstance(images, int) or images < 1:
        return None
    low, high = wilson_interval(round(acc * images / 100), images)
    return 100 * low, 100 * high


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


def attempts(run: RunFiles) -> int:
    """How often the run was started."""
    return 1 + int(run.facts.get("restarts") or 0)


def last_step(run: RunFiles) -> int:
    """The step that the run has reached."""
    return max((int(r["step"]) for r in run.records), default=0)


def bad_images(run: RunFiles) -> int:
    """How many images proved bad; each is named once."""
    return sum(r.get("event") == "bad image" for r in run.records)


def median(records: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    values = sorted(numbers(records, metric))
    return values[len(values) // 2] if values else None


def mean(records: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    values = numbers(records, metric)
    return sum(values) / len(values) if values else None


def last_value(records: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    values = numbers(records, metric)
    return values[-1] if values else None


def numbers(records: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """The values of `metric` in the records that have one."""
    return [r[metric] for r in records if isinstance(r.get(metric), int | float)]


def figure(value: Any, form: str, unit: str = "") -> str:
    """`value` in `form` with its unit; `-` when there is none."""
    if not isinstance(value, int | float):
        return "-"
    return format(value, form).replace("%", " %") + unit


def gap(ours: Any, theirs: Any) -> str:
    known = isinstance(ours, int | float) and isinstance(theirs, int | float)
    return f"{ours - theirs:+.2f}" if known else "-"


def between(ends: tuple[float, float] | None) -> str:
    """An interval in words."""
    return "-" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def when(seconds: Any) -> str:
    """Unix seconds as a date and time of day."""
    if not isinstance(seconds, int | float):
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + " UTC"
