"""The folders and files of one class, found as torchvision's ImageFolder finds them.

The sorted first-level folders are the classes, folders within them are walked, links are followed. Other than
there, hidden folders and hidden files are left out.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")

_TICK = 20_000_000  # ns; above the granularity of folder times (4 ms of a Linux clock tick)
_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The image files of one class, by suffix."""

    name: str
    folders: tuple[tuple[str, int], ...]
    """(path relative to the root, mtime in ns) of the class folder and of each folder within it."""
    files: list[str]
    """Relative to the root, in ImageFolder's order."""
    ignored: int
    """Hidden and foreign files and hidden folders, each counted once."""


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
    ignored = 0
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
                        ignored += 1
                    elif _is_folder(entry):
                        waiting.append((f"{folder}/{entry.name}", outer | {key}))
                    elif entry.name.lower().endswith(SUFFIXES):
                        files.append(entry.name)
                    else:
                        ignored += 1
        except OSError as fault:
            raise ValueError(f"the folder {path} cannot be listed: {fault.strerror}") from fault
    paths = [f"{folder}/{file}" for folder in sorted(found) for file in sorted(found[folder])]
    return Listing(name=name, folders=tuple(sorted(folders)), files=paths, ignored=ignored)


def enumeration(names: list[str]) -> str:
    """The first five names, for an error message."""
    return ", ".join(names[:_NAMED]) + (f", ... ({len(names)} in all)" if len(names) > _NAMED else "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere, as os.walk sees it
        return False
