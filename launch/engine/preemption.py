"""Signals and limits become one agreed stopping step."""

import os
import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """Whether this process has been told to stop. A second Ctrl-C ends it at once.

    Other signals may come several times for one request: Slurm, torchrun and the batch script each pass
    them on.
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Takes over the signals that ask a job to stop."""
        for number in _SIGNALS:
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            os._exit(128 + number)
        self.asked = True
