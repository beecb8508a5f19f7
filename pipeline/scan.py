"""One look at a tree of class folders: which images there are, and what their headers say."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pipeline.header import read_header
from pipeline.walk import SUFFIXES, Listing, enumeration, list_class

_THREADS = 32  # latency bounds a network file system; with warm caches one thread is as fast as 32
_CHUNK = 256  # files of one task
_QUIET, _PAUSE = 2.0, 5.0  # seconds until the first progress line, and between two

_Rows: TypeAlias = tuple[np.ndarray, list[tuple[str, str]]]
"""Headers [n, 3] of some files, and (path, fault) of those that have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFolder:
    """The images of one class, in ImageFolder's order."""

    name: str
    folders: tuple[tuple[str, int], ...]
    """(path relative to the root, mtime in ns) of the class folder and of each folder within it."""
    paths: tuple[bytes, ...]
    """Relative to the root, as the file system spells them."""
    headers: np.ndarray
    """int64 [n, 3]: height, width, bytes."""
    ignored: int
    """Hidden and foreign files and hidden folders, each counted once."""


def scan(
    root: Path,
    classes: Sequence[str],
    *,
    known: Mapping[str, ClassFolder],
    say: Callable[[str], None],
) -> list[ClassFolder]:
    """Every class of `classes` in order; one in `known` is taken from there, the others are read.

    Raises ValueError for class folders without an image, for folders that cannot be listed or that contain
    themselves, and for files whose header is unreadable; the errors name the first five.
    """
    began = time.monotonic()
    wanted = [name for name in classes if name not in known]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="scan") as pool:
        try:
            listings = {each.name: each for each in pool.map(partial(list_class, root), wanted)}
            _refuse_empty(root, listings)
            headers = {name: np.empty((len(each.files), 3), np.int64) for name, each in listings.items()}
            total = sum(map(len, headers.values()))
            tasks = {
                pool.submit(_read, str(root), each.files[first : first + _CHUNK]): (name, first)
                for name, each in listings.items()
                for first in range(0, len(each.files), _CHUNK)
            }
            faults: list[tuple[str, str]] = []
            for task in _reported(tasks, root=root, total=total, began=began, say=say):
                rows, faulty = task.result()
                name, first = tasks[task]
                headers[name][first : first + len(rows)] = rows
                faults += faulty
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if faults:
        raise _unreadable(root, faults, files=total + sum(len(each.paths) for each in known.values()))
    read = {name: _class_folder(each, headers[name]) for name, each in listings.items()}
    return [known[name] if name in known else read[name] for name in classes]


def _refuse_empty(root: Path, listings: Mapping[str, Listing]) -> None:
    empty = [name for name, each in listings.items() if not each.files]
    if empty:
        raise ValueError(
            f"class folders in {root} without an image ({', '.join(SUFFIXES)}): {enumeration(empty)}; "
            "fill or remove them"
        )


def _unreadable(root: Path, faults: list[tuple[str, str]], *, files: int) -> ValueError:
    named = enumeration([f"{path} ({fault})" for path, fault in sorted(faults)])
    return ValueError(
        f"{len(faults)} of {files} files are no readable JPEG or PNG: {named}; "
        f"remove or repair them in {root}"
    )


def _class_folder(listing: Listing, headers: np.ndarray) -> ClassFolder:
    return ClassFolder(
        name=listing.name,
        folders=listing.folders,
        paths=tuple(map(os.fsencode, listing.files)),
        headers=headers,
        ignored=listing.ignored,
    )


def _read(root: str, files: Iterable[str]) -> _Rows:
    rows, faults = [], []
    for file in files:
        try:
            rows.append(read_header(f"{root}/{file}"))
        except ValueError as fault:
            rows.append((0, 0, 0))
            faults.append((file, str(fault)))
    return np.array(rows, np.int64), faults


def _reported(
    tasks: Iterable[Future[_Rows]], *, root: Path, total: int, began: float, say: Callable[[str], None]
) -> Iterator[Future[_Rows]]:
    """The tasks as they end, with lines that tell how far the scan is."""
    done, next_line = 0, began + _QUIET
    for task in as_completed(tasks):
        yield task
        done += len(task.result()[0])
        now = time.monotonic()
        if now >= next_line and done < total:
            rate = done / (now - began)
            left = (total - done) / rate
            say(f"indexing {root}: {done} of {total} files, {rate:.0f} files/s, {left:.0f} s to go")
            next_line = now + _PAUSE
    spent = time.monotonic() - began
    if spent >= _QUIET:
        say(f"indexed {root}: {total} files in {spent:.1f} s, {total / spent:.0f} files/s")
