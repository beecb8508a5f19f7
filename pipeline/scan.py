"""One look at a tree of class folders: which images there are, and what their headers say."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeAlias

import numpy as np

from pipeline.header import Header, read_header
from pipeline.progress import Progress
from pipeline.walk import SUFFIXES, Listing, enumeration, list_class

_THREADS = 32  # latency bounds a network file system; with warm caches one thread is as fast as 32
_CHUNK = 256  # files of one task
_NO_HEADER = Header(height=0, width=0, size=0, channels=0, format=0, orientation=0)

_Rows: TypeAlias = tuple[np.ndarray, list[tuple[str, str]]]
"""Headers [n, 6] of some files, and (path, fault) of those that have none."""


class UnreadableFiles(ValueError):
    """Classes of which not one file is an image, though the suffixes say so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFolder:
    """The images of one class, in ImageFolder's order."""

    name: str
    folders: tuple[tuple[str, int], ...]
    """(path relative to the root, mtime in ns) of the class folder and of each folder within it."""
    paths: tuple[bytes, ...]
    """Relative to the root, as the file system spells them."""
    headers: np.ndarray
    """int64 [n, 6]: the fields of a Header; of a file without one all 0 but the size."""
    ignored: Mapping[str, int]
    """How many hidden and foreign files and hidden folders there are, by kind."""


def scan(
    root: Path,
    classes: Sequence[str],
    *,
    known: Mapping[str, ClassFolder],
    say: Callable[[str], None],
) -> list[ClassFolder]:
    """Every class of `classes` in order; one in `known` is taken from there, the others are read.

    Files without a readable header stay in their places, and are told.

    Raises ValueError for class folders without an image and for folders that cannot be listed or that contain
    themselves, UnreadableFiles for classes without a readable file; the errors name the first five.
    """
    wanted = [name for name in classes if name not in known]
    stopped = Event()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="scan") as pool:
        try:
            listings = _listed(pool.map(partial(list_class, root), wanted), root=root, say=say)
            _refuse_empty(root, listings)
            headers = {
                name: np.empty((len(each.files), len(_NO_HEADER)), np.int64)
                for name, each in listings.items()
            }
            total = sum(map(len, headers.values()))
            progress = Progress(doing=f"indexing {root}", done=f"indexed {root}", total=total, say=say)
            tasks = {
                pool.submit(_read, str(root), each.files[first : first + _CHUNK], stopped): (name, first)
                for name, each in listings.items()
                for first in range(0, len(each.files), _CHUNK)
            }
            faults: list[tuple[str, str]] = []
            for task in as_completed(tasks):
                rows, faulty = task.result()
                progress.add(len(rows))
                name, first = tasks[task]
                headers[name][first : first + len(rows)] = rows
                faults += faulty
            progress.end()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _refuse_unreadable(root, headers, faults=faults)
    if faults:
        say(f"{len(faults)} of {total} files in {root} are no readable JPEG or PNG: {_told(faults)}")
    read = {name: _class_folder(each, headers[name]) for name, each in listings.items()}
    return [known[name] if name in known else read[name] for name in classes]


def _listed(listings: Iterable[Listing], *, root: Path, say: Callable[[str], None]) -> dict[str, Listing]:
    progress = Progress(doing=f"listing {root}", done=f"listed {root}", total=None, say=say)
    found = {}
    for each in listings:
        found[each.name] = each
        progress.add(len(each.files))
    progress.end()
    return found


def _refuse_empty(root: Path, listings: Mapping[str, Listing]) -> None:
    empty = [name for name, each in listings.items() if not each.files]
    if empty:
        raise ValueError(
            f"class folders in {root} without an image ({', '.join(SUFFIXES)}): {enumeration(empty)}; "
            "fill or remove them"
        )


def _refuse_unreadable(
    root: Path, headers: Mapping[str, np.ndarray], *, faults: list[tuple[str, str]]
) -> None:
    lost = sorted(name for name, rows in headers.items() if not rows[:, 0].any())
    if lost:
        inside = [(path, fault) for path, fault in faults if path.partition("/")[0] in lost]
        raise UnreadableFiles(
            f"classes in {root} without one readable JPEG or PNG: {enumeration(lost)}; their files: "
            f"{_told(inside)}; put intact images there, or remove these folders"
        )


def _told(faults: list[tuple[str, str]]) -> str:
    return enumeration([f"{path} ({fault})" for path, fault in sorted(faults)])


def _class_folder(listing: Listing, headers: np.ndarray) -> ClassFolder:
    return ClassFolder(
        name=listing.name,
        folders=listing.folders,
        paths=tuple(map(os.fsencode, listing.files)),
        headers=headers,
        ignored=listing.ignored,
    )


def _read(root: str, files: Iterable[str], stopped: Event) -> _Rows:
    rows, faults = [], []
    for file in files:
        if stopped.is_set():
            break
        try:
            rows.append(read_header(f"{root}/{file}"))
        except ValueError as fault:
            rows.append(_NO_HEADER._replace(size=_size(f"{root}/{file}")))
            faults.append((file, str(fault)))
    return np.array(rows, np.int64), faults


def _size(path: str) -> int:
    """Bytes of a file that may be gone or no file."""
    try:
        return os.stat(path).st_size  # noqa: PTH116  # as fast as the rest of a scan
    except OSError:
        return 0
