"""The tables of the report page, of one run or of several side by side."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.reporting.charts import CALLED, HEALTH, is_drawn, metrics
from launch.reporting.figures import (
    attempts,
    bad_images,
    between,
    duration,
    figure,
    gap,
    headline,
    headline_evaluations,
    last_value,
    mean,
    median,
    result_interval,
    time_spent,
    when,
)
from launch.reporting.markup import note, table
from launch.reporting.names import named
from launch.reporting.run_files import RunFiles

CLOCK = ("step", "epoch", "images_seen", "kind", "time", "event")

STATES = {"done": "finished", "requeue": "to be resumed", "user-error": "not started", "fault": "failed"}


def result(run: RunFiles) -> str:
    """The result beside the official number and the earlier attempt, where the data set has them."""
    last = headline(run)
    if not last:
        return note("no evaluation yet")
    acc1, acc5, images = (last.get(f"eval/{name}") for name in ("acc1", "acc5", "images"))
    ends = (between(result_interval(last, name)) for name in ("acc1", "acc5"))
    rows = [["this run", figure(acc1, ".2f"), figure(acc5, ".2f")], ["95 % interval", *ends]]
    for name in ("official", "earlier"):
        published = run.facts.get(name) or {}
        figures = [published.get("acc1"), published.get("acc5")]
        if figures != [None, None]:
            rows.append([CALLED[name], *(figure(value, ".2f") for value in figures)])
            rows.append([f"gap to {CALLED[name]}", gap(acc1, figures[0]), gap(acc5, figures[1])])
    best = max(headline_evaluations(run), key=lambda r: r.get("eval/acc1") or 0.0)
    text = (
        f"{run.called(last.get('weights'))} at epoch {float(last['epoch']):.2f}, "
        f"{figure(images, ',')} images, loss {figure(last.get('eval/loss'), '.4f')}. "
        f"Best on the way: {figure(best.get('eval/acc1'), '.2f')} % at epoch {float(best['epoch']):.2f}."
    )
    return table(rows, head=["", "Acc@1 %", "Acc@5 %"], kind="figures") + note(text)


def comparison(runs: Sequence[RunFiles]) -> str:
    """One row a run: where it stands and how fast it was."""
    rows = []
    for run in runs:
        last, train, official = headline(run), run.of_kind("train"), run.facts.get("official") or {}
        rows.append(
            [
                run.name,
                figure(last.get("eval/acc1"), ".2f"),
                between(result_interval(last, "acc1")),
                gap(last.get("eval/acc1"), official.get("acc1")),
                figure(last.get("eval/acc5"), ".2f"),
                f"{float(last['epoch']):.2f}" if last else "-",
                figure(median(train, "speed/images_per_s"), ",.0f"),
                figure(mean(train, "speed/data_wait"), ".1%"),
                duration(time_spent(run)),
                STATES.get(run.state, "running"),
            ]
        )
    head = ["", "Acc@1 %", "95 % interval", "to official", "Acc@5 %"]
    head += ["epochs", "images/s", "data wait", "time", "state"]
    return table(rows, head=head, kind="figures", keys=[f"key s{i % 8}" for i in range(len(runs))])


def differences(runs: Sequence[RunFiles]) -> str:
    """The settings in which the runs differ; of those that only say how a run is carried out, none."""
    flat = [_flat(run.facts.get("identity_fields") or {}) for run in runs]
    data = [run.facts.get("data") or {} for run in runs]
    for settings, found in zip(flat, data, strict=True):
        settings |= {f"data.{split}": found.get(f"{split}_identity") for split in ("train", "val")}
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    values = [[name, *(_text(settings.get(name)) or "-" for settings in flat)] for name in names]
    rows = [row for row in values if len(set(row[1:])) > 1]
    if not rows:
        return note("The runs are the same in all that makes a run.")
    return _beside(runs, rows)


def run_facts(runs: Sequence[RunFiles]) -> str:
    """What was asked for."""

    def batch(plan: Mapping[str, Any]) -> str:
        ranks, micro, accumulation = (plan.get(k) for k in ("ranks", "micro_batch", "accumulation"))
        ranked = f"{ranks} {'rank' if ranks == 1 else 'ranks'}"
        return f"{ranked} x {micro} images x {accumulation} accumulated = {plan.get('batch')}"

    def steps(plan: Mapping[str, Any]) -> str:
        return f"{plan.get('steps', 0):,}, {plan.get('steps_per_epoch', 0):,.2f} an epoch"

    def initial(found: Mapping[str, Any]) -> str | None:
        if not found:
            return None
        classifier = f"classifier of {found['classes']} classes {found['classifier']}"
        return f"{Path(found['weights']).name}, sha256 {str(found['sha256'])[:12]}, {classifier}"

    def of(run: RunFiles) -> dict[str, Any]:
        facts, plan, data = run.facts, run.facts.get("plan") or {}, run.facts.get("data") or {}
        tracked = facts.get("wandb") or {}
        return {
            "recipe": facts.get("recipe"),
            "variant": facts.get("variant"),
            "initial weights": initial(facts.get("initial") or {}),
            "batch": batch(plan),
            "nodes": plan.get("nodes"),
            "steps": steps(plan),
            "attempts": attempts(run),
            "train images": figure(data.get("train_images"), ","),
            "val images": figure(data.get("val_images"), ","),
            "classes": figure(data.get("classes"), ","),
            "train split": data.get("train_identity"),
            "val split": data.get("val_identity"),
            "W&B": tracked.get("url") or tracked.get("mode"),
        }

    return _columns(runs, of)


def environment(runs: Sequence[RunFiles]) -> str:
    """With what it ran: devices, source revision, versions, and what was found out at the start."""

    def of(run: RunFiles) -> dict[str, Any]:
        devices = Counter(str(device) for device in run.facts.get("devices") or [])
        machine = run.facts.get("machine") or {}
        return {
            "devices": ", ".join(f"{n} x {name}" if n > 1 else name for name, n in devices.items()),
            "processor": machine.get("cpu"),
            "cores": machine.get("cores"),
            "source revision": run.facts.get("git"),
            **(run.facts.get("versions") or {}),
            **(run.facts.get("found") or {}),
        }

    return _columns(runs, of)


def health(runs: Sequence[RunFiles]) -> str:
    """The last value of what says how a run is; of one run, only of what no chart shows."""

    def of(run: RunFiles) -> dict[str, str]:
        found = {}
        for metric in metrics([run], *HEALTH):
            if len(runs) == 1 and is_drawn(runs, metric):
                continue
            how, value = named(metric), last_value(run.records, metric)
            if value is not None:
                found[how.title] = f"{value * how.scale:{how.form}} {how.unit}".strip()
        bad = {"Bad images": f"{bad_images(run):,}"}
        return bad | found | bad

    if len(runs) == 1:
        return note(" · ".join(f"{name} {value}" for name, value in of(runs[0]).items()))
    return _columns(runs, of)


def events(run: RunFiles) -> str:
    """Starts, resumes and ends; of checkpoints only the number."""
    every = run.of_kind("event")
    shown = [r for r in every if r.get("event") != "checkpoint"]
    saved = len(every) - len(shown)
    below = note(f"{saved} checkpoints written.") if saved else ""
    if not shown:
        return below or note("none")
    rows = []
    for record in shown:
        extra = ", ".join(f"{k} {_event_value(k, v)}" for k, v in record.items() if k not in CLOCK)
        rows.append([str(record.get("event")), when(record.get("time")), f"step {record['step']:,}", extra])
    return table(rows, kind="events") + below


def _columns(runs: Sequence[RunFiles], of: Callable[[RunFiles], Mapping[str, Any]]) -> str:
    """A table of what `of` says of each run; what it says of none is left out."""
    columns = [{name: _text(value) for name, value in of(run).items()} for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    return _beside(runs, [row for row in rows if any(cell not in ("", "-") for cell in row[1:])])


def _beside(runs: Sequence[RunFiles], rows: Sequence[Sequence[str]]) -> str:
    head = ["", *(run.name for run in runs)] if len(runs) > 1 else []
    return table(rows, head=head)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _event_value(name: str, value: Any) -> str:
    if isinstance(value, float):
        return duration(value) if name.endswith("seconds") else f"{value:.6g}"
    return str(value)


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found = {}
    for name, value in settings.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return found
