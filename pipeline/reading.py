"""Reading images from storage that may fail: bytes that are sound, or what is wrong with them."""

import errno
import os
import sys
from pathlib import Path
from threading import Event, Lock

import numpy as np

from pipeline.index import Index
from pipeline.shards import DamagedShard
from pipeline.soundness import find_fault
from pipeline.storage import read_image

_RETRIES = (0.1, 0.5)
"""Seconds before each further attempt at a file that the system fails to read."""

_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between two looks for data that is gone; the last one goes on."""

_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What the system says of this process or machine, and not of a file."""


class SoundReader:
    """Reads images of an index. May be called from several threads at once."""

    def __init__(self, index: Index):
        self.index = index
        self._closed = Event()
        self._lock = Lock()
        self._waiting = 0

    def __call__(self, i: int) -> np.ndarray | str:
        """Returns the bytes of image i, or what is wrong with it.

        While the data's folder is gone this waits; a file that is missing from a folder that is there is bad.

        Raises:
            ValueError: this process may open no more files, or has no memory left: no fault of the image.
            DamagedShard: the shard that holds it is missing or has changed, though the folder is there.
            InterruptedError: closed while waiting.
        """
        index, retries, missed = self.index, iter(_RETRIES), False
        while True:
            try:
                encoded = read_image(index, i)
            except (OSError, ValueError) as fault:
                if not _is_there(index.root):
                    self._wait()
                    continue
                if isinstance(fault, DamagedShard):
                    raise
                if isinstance(fault, FileNotFoundError) and not missed:
                    missed = True  # the folder may have come back between the two looks
                    continue
                cause = fault.__cause__
                if isinstance(cause, OSError) and cause.errno in _OURS:
                    raise
                if (
                    isinstance(cause, OSError)
                    and (pause := next(retries, None))
                    and not self._closed.wait(pause)
                ):
                    continue
                return str(fault).removeprefix(f"the image {index.path(i)} ")
            size, height, width = int(index.sizes[i]), int(index.heights[i]), int(index.widths[i])
            return find_fault(encoded, size=size, height=height, width=width) or encoded

    def close(self) -> None:
        """Ends all waiting; what is read from then on is of no use."""
        self._closed.set()

    def _wait(self) -> None:
        """Returns when the data is back. Of several threads that wait, the first says so."""
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                _say(f"{self.index.root} is gone; waiting until it is back")
        waits, pause = iter(_WAITS), 0.0
        while not _is_there(self.index.root):
            pause = next(waits, pause)
            if self._closed.wait(pause):
                raise InterruptedError("closed while waiting for data")
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                _say(f"{self.index.root} is back")


def _say(line: str) -> None:
    """To the errors: each process says it, for it may be that only one machine has lost the data."""
    print(line, file=sys.stderr, flush=True)


def _is_there(root: Path) -> bool:
    """Whether the folder can be listed and holds something: an unmounted one is often left behind, empty."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
