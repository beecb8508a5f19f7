"""Standard output kept for what a program says itself."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed() -> Iterator[None]:
    """Drops what is written to standard output inside, by whatever code; errors have their own output.

    gloo of torch 2.10 prints a line for each process and group as it connects, in front of what may be JSON.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # closed, so that nobody reads it
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
