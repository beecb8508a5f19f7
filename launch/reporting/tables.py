"""The tables of the report page, as HTML; every value is escaped."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from launch.reporting.figures import duration, figure, gap, headline, headline_evaluations, interval, when
from launch.reporting.run_files import WEIGHTS, RunFiles

CLOCK = ("step", "epoch", "images_seen", "kind", "time", "event")


def result(run: RunFiles) -> str:
    """The result beside the official number and the earlier attempt, where the data set has them."""
    last = headline(run)
    if not last:
        return "<p class=none>no evaluation yet</p>"
    acc1, acc5, images = (last.get(f"eval/{name}") for name in ("acc1", "acc5", "images"))
    rows = [["this run", figure(acc1, ".2f"), figure(acc5, ".2f")]]
    rows.append(["95 % interval", _interval(acc1, images), _interval(acc5, images)])
    for name, published in (("official", run.facts.get("official")), ("earlier", run.facts.get("earlier"))):
        if published:
            figures = [published.get("acc1"), published.get("acc5")]
            rows.append([name, *(figure(value, ".2f") for value in figures)])
            rows.append([f"gap to {name}", gap(acc1, figures[0]), gap(acc5, figures[1])])
    best = max(headline_evaluations(run), key=lambda r: r.get("eval/acc1") or 0.0)
    note = (
        f"{WEIGHTS.get(str(last.get('weights')), 'trained weights')} at epoch {float(last['epoch']):.2f}, "
        f"{figure(images, ',')} images, loss {figure(last.get('eval/loss'), '.4f')}. "
        f"Best on the way: {figure(best.get('eval/acc1'), '.2f')} % at epoch {float(best['epoch']):.2f}."
    )
    return _table(rows, head=["", "Acc@1", "Acc@5"], kind="figures") + f"<p class=note>{escape(note)}</p>"


def run_facts(run: RunFiles) -> str:
    """What was asked for."""
    facts, plan, data = run.facts, run.facts.get("plan") or {}, run.facts.get("data") or {}
    ranks, micro, accumulation = (plan.get(k) for k in ("ranks", "micro_batch", "accumulation"))
    ranked = f"{ranks} {'rank' if ranks == 1 else 'ranks'}"
    tracked = facts.get("wandb") or {}
    return _pairs(
        {
            "recipe": facts.get("recipe"),
            "variant": facts.get("variant"),
            "batch": f"{ranked} x {micro} images x {accumulation} accumulated = {plan.get('batch')}",
            "nodes": plan.get("nodes"),
            "steps": f"{plan.get('steps', 0):,}, {plan.get('steps_per_epoch', 0):,.2f} an epoch",
            "train images": figure(data.get("train_images"), ","),
            "val images": figure(data.get("val_images"), ","),
            "classes": figure(data.get("classes"), ","),
            "train split": data.get("train_identity"),
            "val split": data.get("val_identity"),
            "source revision": facts.get("git"),
            "W&B": tracked.get("url") or tracked.get("mode"),
        }
    )


def found(run: RunFiles) -> str:
    """What was found out at start: devices, what the device decided, versions."""
    devices = Counter(str(device) for device in run.facts.get("devices") or [])
    named = ", ".join(f"{n} x {name}" if n > 1 else name for name, n in devices.items())
    return _pairs({"devices": named} | (run.facts.get("found") or {}) | (run.facts.get("versions") or {}))


def events(run: RunFiles) -> str:
    """Starts, resumes and ends; of checkpoints only the number."""
    every = run.of_kind("event")
    shown = [r for r in every if r.get("event") != "checkpoint"]
    saved = len(every) - len(shown)
    note = f"<p class=note>{saved} checkpoints written.</p>" if saved else ""
    if not shown:
        return note or "<p class=none>none</p>"
    rows = []
    for record in shown:
        extra = ", ".join(f"{k} {_event_value(k, v)}" for k, v in record.items() if k not in CLOCK)
        rows.append([str(record.get("event")), when(record.get("time")), f"step {record['step']:,}", extra])
    return _table(rows) + note


def _interval(acc: Any, images: Any) -> str:
    if not isinstance(acc, int | float) or not isinstance(images, int) or images < 1:
        return "-"
    low, high = interval(acc, images)
    return f"{low:.2f} to {high:.2f}"


def _event_value(name: str, value: Any) -> str:
    if isinstance(value, float):
        return duration(value) if name.endswith("seconds") else f"{value:.6g}"
    return str(value)


def _pairs(pairs: Mapping[str, Any]) -> str:
    texts = ((k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for k, v in pairs.items())
    return _table([[k, text] for k, text in texts if text not in ("", "-", "null")])


def _table(rows: Sequence[Sequence[str]], *, head: Sequence[str] = (), kind: str = "facts") -> str:
    top = f"<tr>{''.join(f'<th>{escape(c)}</th>' for c in head)}</tr>" if head else ""
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{escape(c)}</td>' for c in row[1:])}</tr>"
        for row in rows
    )
    return f'<table class="{escape(kind)}">{top}{body}</table>'
