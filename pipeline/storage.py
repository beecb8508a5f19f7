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

from pipeline.index import Index

_SLICE = 16  # files of one task: a task costs little, and a batch spreads over the threads

Place = TypeVar("Place")
Made = TypeVar("Made")


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
        image = read_range(fd, offset=0, size=status.st_size)
    except EOFError as fault:
        raise ValueError(f"the image {os.fspath(path)} {fault}") from None
    except OSError as fault:
        raise ValueError(f"the image {os.fspath(path)} cannot be read: {fault.strerror}") from fault
    finally:
        os.close(fd)
    return image


def read_range(fd: int, *, offset: int, size: int) -> np.ndarray:
    """Bytes [offset, offset + size) of an open file, uint8 [size].

    Raises EOFError where the file is shorter, OSError where it cannot be read.
    """
    content = np.empty(size, np.uint8)
    done = 0
    while done < size:
        count = os.preadv(fd, [content.data[done:]], offset + done)
        if not count:
            raise EOFError(f"ended after {done} of {size} bytes")
        done += count
    return content


def read_image(index: Index, i: int) -> np.ndarray:
    """The encoded bytes of image i, uint8 [size], from its own file or from the shard that holds it.

    Errors as `read_file`; where the images are packed, they name the shard and how to make it again.
    """
    size = int(index.sizes[i])
    if index.shards is None:
        return read_file(os.path.join(index.root, os.fsdecode(index.name(i))), size=size)  # noqa: PTH118  # a Path takes as long as opening the file
    return index.shards.read(i, size=size)


def read_ahead(
    batches: Iterator[Sequence[Place]],
    *,
    depth: int,
    threads: int,
    read: Callable[[Place], Made] = read_file,
) -> Generator[list[Made], None, None]:
    """The bytes of each batch's files, in order, while `depth` batches after it are being read.

    A batch holds whatever `read` takes, paths by default, and becomes what `read` gives. `batches` is
    advanced in the caller's thread, `read` runs in `threads` threads. What either raises surfaces when its
    batch is due. Closing the generator ends the threads after the file that each of them is reading.
    """
    assert depth >= 1 and threads >= 1
    stopped = Event()
    waiting: deque[list[Future[list[Made]]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    def read_some(places: Sequence[Place]) -> list[Made]:
        return [read(place) for place in places if not stopped.is_set()]

    def submit() -> bool:
        """Whether there was a batch, or what was raised in its place, to hand to the threads."""
        try:
            batch = next(batches)
        except StopIteration:
            return False
        except Exception as fault:
            failed: Future[list[Made]] = Future()
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
