"""How a record reads as a line of text."""

import math
from collections.abc import Iterable
from typing import Any

from launch.engine.ports import Record

_LOUD = ("checkpoint failed", "checkpoint late")

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def plain(text: str) -> str:
    """Returns `text` with control characters, and what is no character at all, written out.

    The name of a file may hold either, and would then drive a terminal or be refused by a stream.
    """
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def train_line(
    record: Record, *, steps: int, steps_per_epoch: float, batch: int, width: int | None = None
) -> str:
    """Returns the progress of a training of `steps` steps, of `batch` images each.

    Args:
        width: characters that there is room for; what matters least is left out.
    """
    epochs = f"{steps / steps_per_epoch:.1f}"
    parts = {
        "epoch": f"epoch {float(record['epoch']):.2f}/{epochs.removesuffix('.0')}",
        "step": f"step {int(record['step'])}/{steps}",
        "loss": f"loss {_number(record, 'train/loss', '.4f')}",
        "acc1": f"Acc@1 {_number(record, 'train/acc1', '.2f')}",
        "lr": f"lr {_number(record, 'train/lr', '.4g')}",
        "speed": f"{_number(record, 'speed/images_per_s', '.0f')} images/s",
        "wait": f"data wait {_number(record, 'speed/data_wait', '.1%').replace('%', ' %')}",
        "spread": _spread(record),
        "skipped": _skipping(record),
        "eta": f"ETA {_eta(record, images=(steps - int(record['step'])) * batch)}",
    }
    for name in ("spread", "lr", "step", "acc1", "wait", "speed"):
        if width is not None and len(_joined(parts.values())) > width:
            parts[name] = ""
    return _joined(parts.values())


def eval_line(record: Record) -> str:
    """Returns an evaluation's figures, beside the official one where there is one.

    What is not of the validation images at the headline's size says so: `held-out`, `eval-256`.
    """
    known = (name.removesuffix("/acc1") for name in record if name.endswith("/acc1"))
    group = next((name for name in known if name.startswith(("eval", "held-out"))), "eval")
    shown = "" if group == "eval" else f"{group} "
    acc1, acc5, loss = (
        _number(record, f"{group}/{name}", form)
        for name, form in (("acc1", ".2f"), ("acc5", ".2f"), ("loss", ".4f"))
    )
    text = f"epoch {float(record['epoch']):.2f}  {shown}{record.get('weights', 'model')} weights: "
    text += f"Acc@1 {acc1}  Acc@5 {acc5}  loss {loss}"
    if f"{group}/images" in record:
        text += f"  over {int(record[f'{group}/images'])} images"
    if "official/acc1" in record:
        text += f"  (official Acc@1 {_number(record, 'official/acc1', '.2f')}"
        text += f", gap {_number(record, 'gap/acc1', '+.2f')})" if "gap/acc1" in record else ")"
    return text


def event_line(record: Record) -> str:
    """Returns what happened, and with what figures."""
    if record.get("event") == "bad image":
        return f"bad image at step {int(record['step'])}: {record['file']} {record['fault']}"
    if record.get("event") == "checkpoint":
        text = f"checkpoint of step {record['of']}: written in {_number(record, 'seconds', '.2f')} s"
        return f"{text}, training waited {_number(record, 'stall', '.3f')} s"
    clock = ("step", "epoch", "images_seen", "kind", "time", "event")
    extra = "".join(f"  {k} {v}" for k, v in record.items() if k not in clock)
    name = str(record.get("event", record["kind"]))
    return f"{name.upper() if name in _LOUD else name} at step {int(record['step'])}{extra}"


def _joined(parts: Iterable[str]) -> str:
    return "  ".join(part for part in parts if part)


def _eta(record: Record, *, images: int) -> str:
    speed = record.get("speed/images_per_s")
    if not isinstance(speed, int | float) or not math.isfinite(speed) or speed <= 0:
        return "-"
    return _duration(images / speed)


def _number(record: Record, name: str, form: str) -> str:
    value: Any = record.get(name)
    return format(value, form) if isinstance(value, int | float) else "-"


def _spread(record: Record) -> str:
    """Between several ranks: the own milliseconds per step of the fastest, the median and the slowest."""
    if "speed/slowest_host" not in record:
        return ""
    times = "/".join(_number(record, f"speed/step_ms_{name}", ".0f") for name in ("min", "median", "max"))
    return f"{times} ms, slowest rank {record['speed/slowest_rank']} on {record['speed/slowest_host']}"


def _skipping(record: Record) -> str:
    """What is said only while steps are skipped."""
    streak = record.get("health/skipped_in_a_row")
    return f"{streak:.0f} steps skipped in a row" if isinstance(streak, int | float) and streak else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
