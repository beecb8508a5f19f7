"""Lines that tell how far long work on many files is."""

import time
from collections.abc import Callable

_QUIET, _PAUSE = 2.0, 5.0  # seconds until the first line, and between two


class Progress:
    """Counts files and says how many are done, files/s and the seconds to go, from the third second on.

    Args:
        doing, done: what is being done, for the lines in between and for the last.
        total: files; None where it is not known.
    """

    def __init__(self, *, doing: str, done: str, total: int | None, say: Callable[[str], None]) -> None:
        self._doing, self._done, self._total, self._say = doing, done, total, say
        self._began = time.monotonic()
        self._next = self._began + _QUIET
        self._count = 0

    def add(self, files: int) -> None:
        self._count += files
        now = time.monotonic()
        if now < self._next or self._count == self._total:
            return
        self._next = now + _PAUSE
        rate = self._count / max(now - self._began, 1e-9)
        if self._total is None:
            self._say(f"{self._doing}: {self._count} files, {rate:.0f} files/s")
        elif rate:
            left = (self._total - self._count) / rate
            self._say(
                f"{self._doing}: {self._count} of {self._total} files, {rate:.0f} files/s, {left:.0f} s to go"
            )

    def end(self) -> None:
        spent = time.monotonic() - self._began
        if spent >= _QUIET:
            self._say(
                f"{self._done}: {self._count} files in {spent:.1f} s, {self._count / spent:.0f} files/s"
            )
