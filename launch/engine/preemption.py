"""Signals that ask a run to stop. No torch: they count from the program's first line on."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

SAME_REQUEST = 5.0
"""Seconds in which signals count as one request: Slurm, torchrun and the batch script each pass it on."""

_PATIENCE = 5.0  # seconds in which the main thread can end the program, as long as there is nothing to save


class StopRequest:
    """Whether this process has been told to stop.

    Before `defer` there is nothing to save: the first signal raises KeyboardInterrupt in the main thread, and
    where that one waits in foreign code, the process ends a little later. After `defer`, a signal sets
    `asked`, which the run answers when it can. More signals within 5 s are the same request. A later one ends
    the process at once, but for a checkpoint that is being written.

    A thread takes the signals, for the main thread may wait for a device or for other ranks.

    Args:
        end: called before the process is ended from here.
    """

    def __init__(self, end: Callable[[], None] = lambda: None) -> None:
        self.asked = False
        self._end_with = end
        self._deferred = False
        self._say: Callable[[str], None] | None = None
        self._first: float | None = None
        self._saving = threading.Lock()

    def listen(self) -> None:
        """Takes over the signals that ask a job to stop; the main thread must call this."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._interrupt)
        threading.Thread(target=self._watch, args=(read,), name="signals", daemon=True).start()

    def defer(self, say: Callable[[str], None] | None = None) -> None:
        """From here on a request waits until the run has saved.

        Args:
            say: takes a line that tells the user so, from the thread.
        """
        self._say = say
        self._deferred = True

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, a checkpoint is being written: the process is not ended from here."""
        with self._saving:
            yield

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if first and not self._deferred:
            raise KeyboardInterrupt

    def _watch(self, read: int) -> None:
        while numbers := os.read(read, 64):
            for number in numbers:
                if number in _SIGNALS:
                    self._take(number)

    def _take(self, number: int) -> None:
        now = time.monotonic()
        if self._first is not None:
            if now - self._first >= SAME_REQUEST:
                self._end(number)
            return
        self._first = now
        if not self._deferred:
            last = threading.Timer(_PATIENCE, self._give_up, args=(number,))
            last.daemon = True
            last.start()
        elif self._say is not None:
            self._say(
                f"{signal.Signals(number).name}: the run saves and stops at its next line of metrics; a "
                f"signal {SAME_REQUEST:.0f} s from now or later ends it at once"
            )

    def _give_up(self, number: int) -> None:
        if not self._deferred:
            self._end(number)

    def _end(self, number: int) -> None:
        with self._saving:
            self._end_with()
            os._exit(128 + number)
