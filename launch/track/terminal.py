"""What a person sees: a live line on a terminal, plain lines elsewhere; log.txt has the same, plain."""

import math
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from launch.engine.ports import Record


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Passes a closed pipe on as the error that it is; rich's own way is to end the program."""
        raise BrokenPipeError


_FOR_THE_LOG = ("checkpoint", "damaged checkpoint", "diverged", "end")
"""Events that a person has seen otherwise: checkpoints with their epoch, the ends in the last message."""

_LOUD = ("checkpoint failed", "checkpoint late")


class Terminal:
    """Shows a run's records and free lines. A stream or disk that fails silences its own half only.

    Args:
        stream: where to write; standard output when not given. Colour and the live line need a terminal;
            rich honours NO_COLOR and TERM=dumb.
    """

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._console = _Console(
            file=stream or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._tty = self._console.is_terminal and not self._console.is_dumb_terminal
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._log: TextIO | None = None
        self._unlogged: list[str] | None = []
        self._shown = True
        self._steps = self._batch = 0
        self._steps_per_epoch = 1.0

    def begin(self, *, log: Path, steps: int, steps_per_epoch: float, batch: int) -> None:
        """Opens `log` for appending, with the lines said so far, and learns how long the run is.

        Args:
            steps: optimizer steps of the whole run.
            batch: images of one optimizer step, over all ranks.
        """
        self._steps, self._steps_per_epoch, self._batch = steps, steps_per_epoch, batch
        with self._lock:
            early, self._unlogged = self._unlogged or [], None
            self._log = log.open("a", encoding="utf-8")
            for line in early:
                self._write_log(line)

    def say(self, text: str = "") -> None:
        """Shows a line, above the live one, and logs it. May be called from any thread."""
        with self._lock:
            self._write_log(text)
            self._show(text)

    def write(self, record: Record) -> None:
        kind = record["kind"]
        if kind == "train":
            self._progress(record)
        elif kind == "eval":
            self.say(self._evaluation(record))
        elif record.get("event") in _FOR_THE_LOG:
            with self._lock:
                self._write_log(_event(record))
        else:
            self.say(_event(record))

    def close(self, *, state: str = "done") -> None:
        """Ends the live line, which stays as it was, and the log; `say` still works, on the terminal only."""
        with self._lock:
            self._stop_live()
            if self._log:
                self._log.close()
                self._log = None

    def _progress(self, record: Record) -> None:
        line = self._training(record)
        with self._lock:
            self._write_log(line)
            if not self._tty:
                self._show(line)
            elif self._shown:
                try:
                    self._draw(line, float(record["step"]))
                except (OSError, ValueError):
                    self._shown = False

    def _draw(self, line: str, step: float) -> None:
        if self._live is None:  # no thread of rich's: the line changes when there is news
            ours = self._console.file is sys.stdout  # then what others print belongs above the line
            self._live = Live(
                console=self._console, auto_refresh=False, redirect_stdout=ours, redirect_stderr=ours
            )
            self._live.start()
        text = Text(line)
        if len(line) + 30 <= self._console.width:  # on a narrow terminal the figures matter more than the bar
            share = min(step / self._steps, 1.0) if self._steps else 0.0
            bar = round(share * 20)
            text = Text.assemble(("#" * bar, "green"), ("." * (20 - bar), "dim"), f" {share:4.0%}  ", text)
        self._live.update(text, refresh=True)

    def _training(self, record: Record) -> str:
        epochs = f"{self._steps / self._steps_per_epoch:.1f}"
        parts = [
            f"epoch {float(record['epoch']):.2f}/{epochs.removesuffix('.0')}",
            f"step {int(record['step'])}/{self._steps}",
            f"loss {_number(record, 'train/loss', '.4f')}",
            f"Acc@1 {_number(record, 'train/acc1', '.2f')}",
            f"lr {_number(record, 'train/lr', '.4g')}",
            f"{_number(record, 'speed/images_per_s', '.0f')} images/s",
            f"data wait {_number(record, 'speed/data_wait', '.1%').replace('%', ' %')}",
            *_spread(record),
            *_skipping(record),
            f"ETA {self._eta(record)}",
        ]
        return "  ".join(parts)

    def _eta(self, record: Record) -> str:
        speed = record.get("speed/images_per_s")
        if not isinstance(speed, int | float) or not math.isfinite(speed) or speed <= 0:
            return "-"
        return _duration((self._steps - int(record["step"])) * self._batch / speed)

    def _evaluation(self, record: Record) -> str:
        group = next((name[: -len("/acc1")] for name in record if name.endswith("/acc1")), "eval")
        shown = "" if group == "eval" else f"{group} "
        text = (
            f"epoch {float(record['epoch']):.2f}  {shown}{record.get('weights', 'model')} weights: "
            f"Acc@1 {_number(record, f'{group}/acc1', '.2f')}  "
            f"Acc@5 {_number(record, f'{group}/acc5', '.2f')}  "
            f"loss {_number(record, f'{group}/loss', '.4f')}"
        )
        if f"{group}/images" in record:
            text += f"  over {int(record[f'{group}/images'])} images"
        if "official/acc1" in record:
            text += f"  (official Acc@1 {_number(record, 'official/acc1', '.2f')}"
            text += f", gap {_number(record, 'gap/acc1', '+.2f')})" if "gap/acc1" in record else ")"
        return text

    def _show(self, text: str) -> None:
        if not self._shown:
            return
        try:
            self._console.print(text)
            self._console.file.flush()
        except (OSError, ValueError):  # a closed pipe or terminal must not end a training
            self._shown = False

    def _stop_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except (OSError, ValueError):
                self._shown = False

    def _write_log(self, line: str) -> None:
        if self._unlogged is not None:
            self._unlogged.append(line)
        if self._log is None:
            return
        try:
            self._log.write(line + "\n")
            self._log.flush()
        except OSError as error:
            self._log = None
            self._show(f"log.txt is not written any more: {error}")


def _number(record: Record, name: str, form: str) -> str:
    value: Any = record.get(name)
    return format(value, form) if isinstance(value, int | float) else "-"


def _spread(record: Record) -> list[str]:
    """Between several ranks: the own milliseconds per step of the fastest, the median and the slowest."""
    if "speed/slowest_host" not in record:
        return []
    times = "/".join(_number(record, f"speed/step_ms_{name}", ".0f") for name in ("min", "median", "max"))
    return [f"{times} ms, slowest rank {record['speed/slowest_rank']} on {record['speed/slowest_host']}"]


def _skipping(record: Record) -> list[str]:
    """What is said only while steps are skipped."""
    streak = record.get("health/skipped_in_a_row")
    return [f"{streak:.0f} steps skipped in a row"] if isinstance(streak, int | float) and streak else []


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _event(record: Record) -> str:
    if record.get("event") == "bad image":
        return f"bad image at step {int(record['step'])}: {record['file']} {record['fault']}"
    clock = ("step", "epoch", "images_seen", "kind", "time", "event")
    extra = "".join(f"  {k} {v}" for k, v in record.items() if k not in clock)
    name = str(record.get("event", record["kind"]))
    return f"{name.upper() if name in _LOUD else name} at step {int(record['step'])}{extra}"
