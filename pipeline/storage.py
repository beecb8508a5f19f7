"""Encoded images, read ahead of whoever decodes them."""

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np

_SLICE = 8  # files of one task: a task costs little, and a batch spreads over the threads

Place = TypeVar("Place")


def read_file(path: str | os.PathLike[str], *, size: int | None = None) -> np.ndarray:
    """The bytes of a file, uint8 [size].

    Raises FileNotFoundError, or ValueError for a file that is empty, that cannot be read, or that has another
    size than the `size` it is known to have.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang the reader
    except FileNotFoundError:
        raise FileNotFoundError(f"the image {os.fspath(path)} is gone") from None
    except OSError as fault:
        raise ValueError(f"the image {os.fspath(path)} cannot be read: {fault.strerror}") from fault
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"the image {os.fspath(path)} is not a regular file")
        if not status.st_size:
            raise ValueError(f"the image {os.fspath(path)} is empty")
        if size is not None and status.st_size != size:
            raise ValueError(
                f"the image {os.fspath(path)} has {status.st_size} bytes, {size} when it was indexed; "
                f"to have it indexed again: touch {Path(path).parent}"
            )
        image = np.empty(status.st_size, np.uint8)
        done = 0
        while done < len(image):
            count = os.preadv(fd, [image.data[done:]], done)
            if not count:
                raise ValueError(f"the image {os.fspath(path)} ended after {done} of {len(image)} bytes")
            done += count
    except OSError as fault:
        raise ValueError(f"the image {os.fspath(path)} cannot be read: {fault.strerror}") from fault
    finally:
        os.close(fd)
    return image


def read_ahead(
    batches: Iterator[Sequence[Place]],
    *,
    depth: int,
    threads: int,
    read: Callable[[Place], np.ndarray] = read_file,
) -> Generator[list[np.ndarray], None, None]:
    """The bytes of each batch's files, in order, while `depth` batches after it are being read.

    A batch holds whatever `read` takes: paths by default. `batches` is advanced in the caller's thread,
    `read` runs in `threads` threads. What either raises surfaces when its batch is due. Closing the generator
    ends the threads after the file that each of them is reading.
    """
    assert depth >= 1 and threads >= 1
    stopped = Event()
    waiting: deque[list[Future[list[np.ndarray]]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    def read_some(places: Sequence[Place]) -> list[np.ndarray]:
        return [read(place) for place in places if not stopped.is_set()]

    def submit() -> bool:
        """Whether there was a batch, or what was raised in its place, to hand to the threads."""
        try:
            batch = next(batches)
        except StopIteration:
            return False
        except Exception as fault:
            failed: Future[list[np.ndarray]] = Future()
            failed.set_exception(fault)
            waiting.append([failed])
            return False
        waiting.append(
            [pool.submit(read_some, batch[first : first + _SLICE]) for first in range(0, len(batch), _SLICE)]
        )
        return True

    try:
        more = True
        while True:
            while more and len(waiting) <= depth:
                more = submit()
            if not waiting:
                return
            yield [image for task in waiting.popleft() for image in task.result()]
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
