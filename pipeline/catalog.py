"""What a scan found, as one mapped file: written from class folders, and taken apart into them again.

A catalog's name holds the class folders and their times. So two machines that see different data under one
path do not replace each other's catalog, and a file that a running job has mapped stays as it is.
"""

import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import mapped
from pipeline.cache import beside
from pipeline.scan import ClassFolder
from pipeline.walk import kind_of

_FORMAT = 3
_ABANDONED = 3600 * 10**9  # ns; writing takes seconds

COLUMNS = {
    "heights": np.int32,
    "widths": np.int32,
    "sizes": np.int64,
    "channels": np.uint8,
    "formats": np.uint8,
    "orientations": np.uint8,
}
"""The arrays that hold the headers, in the order of a Header's fields."""


def catalog_file(cache: Path, root: Path, classes: Sequence[str]) -> Path:
    """Where the catalog of `root` lies, as its class folders stand now."""
    times = [(name, _time(root / name)) for name in classes]
    state = hashlib.sha256(json.dumps(times).encode()).hexdigest()[:12]
    return cache / f"{_place(cache, root)}-{state}.index"


def newest_first(files: Iterable[Path]) -> list[Path]:
    """Those of `files` that there are, by the time they were written."""
    times: dict[Path, int] = {}
    for file in files:
        written = _time(file)
        if written is not None:
            times[file] = written
    return sorted(times, key=lambda file: times[file], reverse=True)


def write_catalog(file: Path, found: Sequence[ClassFolder], *, others: Sequence[str] = ()) -> None:
    """Write `file` atomically, or raise ValueError; `others` are the names of what else lies in the root."""
    paths = [path for each in found for path in each.paths]
    headers = np.concatenate([each.headers for each in found])
    labels = np.repeat(np.arange(len(found), dtype=np.int32), [len(each.paths) for each in found])
    names = np.frombuffer(b"\0".join(paths) + b"\0", np.uint8)
    columns = {name: headers[:, i].astype(kind) for i, (name, kind) in enumerate(COLUMNS.items())}
    arrays = {
        "labels": labels,
        **columns,
        "names": names,
        "ends": np.cumsum([len(path) + 1 for path in paths], dtype=np.int64) - 1,
    }
    ignored = Counter(kind_of(name) for name in others)
    for each in found:
        ignored.update(each.ignored)
    about = {
        "identity": identity(names=names, sizes=columns["sizes"], labels=labels),
        "ignored": dict(sorted(ignored.items())),
        "classes": [
            {"name": each.name, "images": len(each.paths), "ignored": each.ignored, "folders": each.folders}
            for each in found
        ],
    }
    _sweep(file)
    try:
        mapped.write(file, about=about, arrays=arrays)
    except OSError as fault:
        raise ValueError(
            f"the index {file} cannot be written: {fault.strerror}; make room or export REXNET_CACHE=DIR"
        ) from fault


def identity(*, names: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> str:
    """Hex SHA-256 over every image's (relative path, bytes, label).

    It is taken column by column: zero bytes part the paths, and the count fixes where the others lie.
    """
    digest = hashlib.sha256(len(labels).to_bytes(8, "little"))
    for column, kind in ((names, "u1"), (sizes, "<i8"), (labels, "<i4")):
        digest.update(np.ascontiguousarray(column, kind).data)
    return digest.hexdigest()


def changed_classes(about: dict[str, Any], root: Path) -> set[str]:
    """The classes of a catalog of `root` in which a folder's time is another now."""
    return {
        entry["name"]
        for entry in about["classes"]
        if any(_time(root / folder) != when for folder, when in entry["folders"])
    }


def unchanged_classes(caches: Sequence[Path], root: Path) -> dict[str, ClassFolder]:
    """What the newest catalog of `root` says of the classes in which no folder's time has changed since."""
    catalogs = [file for cache in caches for file in cache.glob(f"{_place(cache, root)}-*.index")]
    try:
        about, arrays = mapped.read(newest_first(catalogs)[0])
    except (IndexError, FileNotFoundError, ValueError):
        return {}
    changed = changed_classes(about, root)
    columns = [arrays[name] for name in COLUMNS]
    ends = arrays["ends"]
    first, unchanged = 0, {}
    for entry in about["classes"]:
        stop = first + entry["images"]
        if entry["name"] not in changed:
            begin = ends[first - 1] + 1 if first else 0
            unchanged[entry["name"]] = ClassFolder(
                name=entry["name"],
                folders=tuple((folder, when) for folder, when in entry["folders"]),
                paths=tuple(arrays["names"][begin : ends[stop - 1]].tobytes().split(b"\0")),
                headers=np.stack([column[first:stop] for column in columns], axis=1, dtype=np.int64),
                ignored=entry["ignored"],
            )
        first = stop
    return unchanged


def _sweep(file: Path) -> None:
    """Remove what a process that was killed while it wrote a catalog of the same folder has left."""
    place, _, _ = file.name.rpartition("-")
    for part in file.parent.glob(f"{place}-*.part"):
        written = _time(part)
        if written is not None and time.time_ns() - written > _ABANDONED:
            with suppress(OSError):
                part.unlink()


def _place(cache: Path, root: Path) -> str:
    readable = re.sub(r"[^A-Za-z0-9]", "_", root.name)[:32]
    # Beside the data a name must hold wherever they are mounted.
    path = root.name if cache == beside(root) else root.resolve()
    key = hashlib.sha256(f"{_FORMAT} ".encode() + os.fsencode(path))
    return f"{readable}-{key.hexdigest()[:12]}"


def _time(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
