"""The folders and files of one class, found as torchvision's ImageFolder finds them.

The sorted first-level folders are the classes, folders within them are walked, links are followed. Other than
there, hidden folders and hidden files are left out.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")

_TICK = 20_000_000  # ns; above the granularity of folder times (4 ms of a Linux clock tick)
_NAMED = 5
_SUFFIX = 12  # letters of the longest that is taken for one


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The image files of one class, by suffix."""

    name: str
    folders: tuple[tuple[str, int], ...]
    """(path relative to the root, mtime in ns) of the class folder and of each folder within it."""
    files: list[str]
    """Relative to the root, in ImageFolder's order."""
    ignored: Mapping[str, int]
    """How many hidden and foreign files and hidden folders there are, by `kind_of`."""


def first_level(root: Path) -> tuple[list[str], list[str]]:
    """The sorted names of the class folders in `root`, and those of everything else there."""
    folders, others = [], []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                is_class = _is_folder(entry) and not entry.name.startswith(".")
                (folders if is_class else others).append(entry.name)
    except OSError as fault:
        raise ValueError(f"the folder {root} cannot be listed: {fault.strerror}") from fault
    return sorted(folders), others


def list_class(root: Path, name: str) -> Listing:
    """Walk root/name; ValueError for a folder that cannot be listed or that a link makes contain itself."""
    above = root.stat()
    folders: list[tuple[str, int]] = []
    found: dict[str, list[str]] = {}
    ignored: Counter[str] = Counter()
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [
        (name, frozenset([(above.st_dev, above.st_ino)]))
    ]
    while waiting:
        folder, outer = waiting.pop()
        path = root / folder
        try:
            status = path.stat()
            if 0 <= time.time_ns() - status.st_mtime_ns < _TICK:
                time.sleep(_TICK / 1e9)  # a change from here on must show in the folder's time
            key = (status.st_dev, status.st_ino)
            if key in outer:
                raise ValueError(f"{path} is a link to a folder that contains it; remove the link")
            folders.append((folder, status.st_mtime_ns))
            files = found[folder] = []
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        ignored[kind_of(entry.name)] += 1
                    elif _is_folder(entry):
                        waiting.append((f"{folder}/{entry.name}", outer | {key}))
                    elif entry.name.lower().endswith(SUFFIXES):
                        files.append(entry.name)
                    else:
                        ignored[kind_of(entry.name)] += 1
        except OSError as fault:
            raise ValueError(f"the folder {path} cannot be listed: {fault.strerror}") from fault
    paths = [f"{folder}/{file}" for folder in sorted(found) for file in sorted(found[folder])]
    return Listing(name=name, folders=tuple(sorted(folders)), files=paths, ignored=ignored)


def kind_of(name: str) -> str:
    """What to count an ignored file under: hidden, or its suffix."""
    if name.startswith("."):
        return "hidden"
    _, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and len(suffix) <= _SUFFIX else "without suffix"


def ignored_text(kinds: Mapping[str, int]) -> str:
    """What was left out, the most frequent kind first."""
    named = [f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]
    return f"{sum(kinds.values())} hidden or foreign files and folders ({enumeration(named)})"


def holds_more(root: Path, classes: Sequence[str], *, than: int) -> bool:
    """Whether `classes` hold more files than that; folders count as well, so that links in a circle end."""
    seen, waiting = 0, [root / name for name in classes]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > than:
                        return True
                    if _is_folder(entry):
                        waiting.append(Path(entry.path))
        except OSError:  # the scan says so
            continue
    return False


def enumeration(names: Sequence[str]) -> str:
    """The first five names, for an error message."""
    return ", ".join(names[:_NAMED]) + (f", ... ({len(names)} in all)" if len(names) > _NAMED else "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere, as os.walk sees it
        return False
