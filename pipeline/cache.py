"""The folder for what can be made again: indexes and the demo images."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_path() -> Path:
    """`$REXNET_CACHE`, else `~/.cache/rexnet`, whether it is there or not."""
    told = os.environ.get("REXNET_CACHE")
    return Path(told).expanduser() if told else Path.home() / ".cache" / "rexnet"


def beside(split: Path) -> Path:
    """Where the index of `split` lies when it lies with the data."""
    return split.parent / ".rexnet"


def folder_beside(split: Path) -> Path:
    """`beside`, made when missing; ValueError where it cannot be made."""
    folder = beside(split)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as fault:
        raise ValueError(
            f"{folder} cannot be made: {fault.strerror}; without --beside the index goes to {cache_path()}"
        ) from fault
    return folder


def cache_folder(*, outside: Path | None = None) -> Path:
    """`cache_path`, made when missing.

    Raises ValueError where it cannot be made, and where it would lie within `outside`.
    """
    folder = cache_path()
    if outside is not None:
        refuse_cache_within(outside)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ValueError(
            f"the cache folder {folder} cannot be made: {fault.strerror}; export REXNET_CACHE=DIR"
        ) from fault
    return folder


def refuse_cache_within(data: Path) -> None:
    """Raise ValueError where `cache_path` lies within `data`."""
    folder = cache_path()
    if folder.resolve().is_relative_to(data.resolve()):
        raise ValueError(f"the cache folder {folder} lies within the data; export REXNET_CACHE=DIR elsewhere")


@contextmanager
def lock(file: Path, *, say: Callable[[str], None], waiting: str) -> Iterator[None]:
    """Hold `file` locked against other processes; says `waiting` if another holds it, then waits for it.

    The system frees the lock when its process dies. Where the file system knows no locks, this says so and
    goes on without: what is made under a lock is put in place atomically, so the loss is work done twice.
    """
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as fault:
        raise ValueError(
            f"{file.parent} cannot be written: {fault.strerror}; name another folder: export REXNET_CACHE=DIR"
        ) from fault
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as fault:
            say(f"no file locks in {file.parent} ({fault.strerror}): other processes may do the same work")
        yield
    finally:
        os.close(fd)
