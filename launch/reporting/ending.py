"""What the terminal shows when an attempt has ended: the result and where it lies, as plain lines."""

from pathlib import Path

from launch.reporting.figures import (
    attempts,
    bad_images,
    between,
    duration,
    figure,
    gap,
    headline,
    last_step,
    last_value,
    mean,
    median,
    result_interval,
    time_spent,
)
from launch.reporting.run_files import RunFiles


def ending_lines(run: RunFiles, *, folder: Path) -> list[str]:
    """Returns the summary of a run, one `name  value` a line; accuracies only once they are final."""
    train, steps = run.of_kind("train"), int((run.facts.get("plan") or {}).get("steps", 0))
    tries = f", in {attempts(run)} attempts" if attempts(run) > 1 else ""
    speed, wait = median(train, "speed/images_per_s"), mean(train, "speed/data_wait")
    rows = [
        *(_accuracies(run) if run.state == "done" else []),
        ("time", f"{duration(time_spent(run))}, {last_step(run):,} of {steps:,} steps{tries}"),
        ("speed", f"{figure(speed, ',.0f')} images/s, data wait {figure(wait, '.1%')}"),
        ("skipped steps", figure(last_value(train, "health/skipped_steps"), ",.0f")),
        ("bad images", f"{bad_images(run):,}"),
        ("folder", str(folder)),
        ("report", str(folder / "report.html")),
    ]
    wide = max(len(name) for name, _ in rows)
    return [f"{name:<{wide}}  {value}" for name, value in rows]


def _accuracies(run: RunFiles) -> list[tuple[str, str]]:
    last, official = headline(run), run.facts.get("official") or {}
    rows = []
    for name, metric in (("Acc@1", "acc1"), ("Acc@5", "acc5")):
        ours, theirs = last.get(f"eval/{metric}"), official.get(metric)
        text = f"{figure(ours, '.2f')} %, 95 % interval {between(result_interval(last, metric))}"
        if theirs is not None:
            text += f"; official {theirs:.2f} %, gap {gap(ours, theirs)}"
        rows.append((name, text))
    weights = run.called(last.get("weights"))
    return [*rows, ("weights", f"final {weights}, over {figure(last.get('eval/images'), ',')} images")]
