"""What a person sees: a live line on a terminal, plain lines elsewhere; log.txt has the same, plain."""

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from launch.engine.ports import Record
from launch.track.lines import eval_line, event_line, plain, train_line


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Passes a closed pipe on as the error that it is; rich's own way is to end the program."""
        raise BrokenPipeError


FOR_THE_LOG = ("checkpoint", "damaged checkpoint", "diverged", "end")
"""Events that a person has seen otherwise: checkpoints with their epoch, the ends in the last message."""

_WIDE, _BAR = 130, 27
"""Characters of a terminal that has room for a bar, and those of the bar; else the figures matter more."""


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
        self._path: Path | None = None
        self._unlogged: list[str] = []
        self._shown, self._logged, self._closed = True, True, False
        self._steps = self._batch = 0
        self._steps_per_epoch = 1.0

    def begin(self, *, log: Path, steps: int, steps_per_epoch: float, batch: int) -> None:
        """Appends to `log`, first the lines said so far, and learns how long the run is.

        Args:
            steps: optimizer steps of the whole run.
            batch: images of one optimizer step, over all ranks.
        """
        self._steps, self._steps_per_epoch, self._batch = steps, steps_per_epoch, batch
        with self._lock:
            self._path, early, self._unlogged = log, self._unlogged, []
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
            self.say(eval_line(record))
        elif record.get("event") in FOR_THE_LOG:
            with self._lock:
                self._write_log(event_line(record))
        else:
            self.say(event_line(record))

    def close(self, *, state: str = "done") -> None:
        """Ends the live line, which stays as it was, and the log, which `say` reopens for its own lines."""
        with self._lock:
            self._stop_live()
            self._closed = True
            self._close_log()

    def _progress(self, record: Record) -> None:
        with self._lock:
            self._write_log(line := self._line(record))
            if not self._tty:
                self._show(line)
            elif self._shown:
                try:
                    width = self._console.width - (_BAR if self._console.width >= _WIDE else 0)
                    self._draw(self._line(record, width=width), float(record["step"]))
                except (OSError, ValueError):
                    self._shown = False

    def _line(self, record: Record, *, width: int | None = None) -> str:
        per_epoch = self._steps_per_epoch
        return train_line(
            record, steps=self._steps, steps_per_epoch=per_epoch, batch=self._batch, width=width
        )

    def _draw(self, line: str, step: float) -> None:
        if self._live is None:  # no thread of rich's: the line changes when there is news
            ours = self._console.file is sys.stdout  # then what others print belongs above the line
            self._live = Live(
                console=self._console, auto_refresh=False, redirect_stdout=ours, redirect_stderr=ours
            )
            self._live.start()
        text = Text(plain(line))
        if self._console.width >= _WIDE:
            share = min(step / self._steps, 1.0) if self._steps else 0.0
            bar = round(share * 20)
            text = Text.assemble(("#" * bar, "green"), ("." * (20 - bar), "dim"), f" {share:4.0%}  ", text)
        self._live.update(text, refresh=True)

    def _show(self, text: str) -> None:
        if not self._shown:
            return
        try:
            self._console.print(plain(text))
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
        if self._path is None:
            self._unlogged.append(line)
        if self._path is None or not self._logged:
            return
        try:
            self._log = self._log or self._path.open("a", encoding="utf-8")
            self._log.write(plain(line) + "\n")
            self._log.flush()
            if self._closed:
                self._close_log()
        except OSError as error:
            self._logged = False
            self._show(f"log.txt is not written any more: {error}")

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            with suppress(OSError):  # what it held back cannot be written either
                log.close()
