"""What a scan found, as one mapped file: written from class folders, and taken apart into them again.

A catalog's name holds the class folders and their times. So two machines that see different data under one
path do not replace each other's catalog, and a file that a running job has mapped stays as it is.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import mapped
from pipeline.scan import ClassFolder

_FORMAT = 1


def catalog_file(cache: Path, root: Path, classes: Sequence[str]) -> Path:
    """Where the catalog of `root` lies, as its class folders stand now."""
    times = [(name, _time(root / name)) for name in classes]
    state = hashlib.sha256(json.dumps(times).encode()).hexdigest()[:12]
    return cache / f"{_place(root)}-{state}.index"


def write_catalog(file: Path, found: Sequence[ClassFolder], *, others: int) -> None:
    """Write `file` atomically, or raise ValueError; `others` counts what lies beside the class folders."""
    paths = [path for each in found for path in each.paths]
    headers = np.concatenate([each.headers for each in found])
    labels = np.repeat(np.arange(len(found), dtype=np.int32), [len(each.paths) for each in found])
    names = np.frombuffer(b"\0".join(paths) + b"\0", np.uint8)
    arrays = {
        "labels": labels,
        "heights": headers[:, 0].astype(np.int32),
        "widths": headers[:, 1].astype(np.int32),
        "sizes": headers[:, 2],
        "names": names,
        "ends": np.cumsum([len(path) + 1 for path in paths], dtype=np.int64) - 1,
    }
    about = {
        "identity": identity(names=names, sizes=headers[:, 2], labels=labels),
        "ignored": others + sum(each.ignored for each in found),
        "classes": [
            {"name": each.name, "images": len(each.paths), "ignored": each.ignored, "folders": each.folders}
            for each in found
        ],
    }
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
        if any(_time(root / folder) != time for folder, time in entry["folders"])
    }


def unchanged_classes(cache: Path, root: Path) -> dict[str, ClassFolder]:
    """What the newest catalog of `root` says of the classes in which no folder's time has changed since."""
    catalogs = sorted(cache.glob(f"{_place(root)}-*.index"), key=lambda file: file.stat().st_mtime_ns)
    try:
        about, arrays = mapped.read(catalogs[-1])
    except (IndexError, FileNotFoundError, ValueError):
        return {}
    changed = changed_classes(about, root)
    columns = [arrays[name] for name in ("heights", "widths", "sizes")]
    ends = arrays["ends"]
    first, unchanged = 0, {}
    for entry in about["classes"]:
        stop = first + entry["images"]
        if entry["name"] not in changed:
            begin = ends[first - 1] + 1 if first else 0
            unchanged[entry["name"]] = ClassFolder(
                name=entry["name"],
                folders=tuple((folder, time) for folder, time in entry["folders"]),
                paths=tuple(arrays["names"][begin : ends[stop - 1]].tobytes().split(b"\0")),
                headers=np.stack([column[first:stop] for column in columns], axis=1, dtype=np.int64),
                ignored=entry["ignored"],
            )
        first = stop
    return unchanged


def _place(root: Path) -> str:
    readable = re.sub(r"[^A-Za-z0-9]", "_", root.name)[:32]
    key = hashlib.sha256(f"{_FORMAT} ".encode() + os.fsencode(root.resolve()))
    return f"{readable}-{key.hexdigest()[:12]}"


def _time(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
