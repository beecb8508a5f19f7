"""The index of one split: every image's path, label, size in bytes and size in pixels, in one mapped file."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline import mapped
from pipeline.cache import beside, cache_folder, cache_path, folder_beside, lock, refuse_cache_within
from pipeline.catalog import (
    catalog_file,
    changed_classes,
    identity,
    newest_first,
    unchanged_classes,
    write_catalog,
)
from pipeline.layout import check_layout, check_short_scan, check_split
from pipeline.scan import scan
from pipeline.shards import Shards, is_packed, read_packed
from pipeline.walk import enumeration, first_level, ignored_text


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Index:
    """One split of a data set: N images in ImageFolder's order. The arrays are read-only."""

    root: Path
    classes: tuple[str, ...]
    """Label i is classes[i]."""
    identity: str
    """Hex SHA-256 over every image's (relative path, bytes, label)."""
    labels: np.ndarray
    """int32 [N]."""
    heights: np.ndarray
    """int32 [N], pixels as stored, without EXIF rotation; 0 where a file had no readable header."""
    widths: np.ndarray
    """int32 [N], likewise."""
    sizes: np.ndarray
    """int64 [N], bytes."""
    ignored: int
    """Hidden and foreign files and hidden folders left out, as counted when the folder was scanned."""
    names: np.ndarray
    """uint8: the relative paths, each followed by a zero byte."""
    ends: np.ndarray
    """int64 [N]: where in `names` each path's zero byte lies."""
    channels: np.ndarray | None = None
    """uint8 [N]: 1 gray, 2 gray and alpha, 3 colour, 4 colour and alpha or CMYK; None where not known."""
    formats: np.ndarray | None = None
    """uint8 [N]: positions in `pipeline.header.FORMATS`; None where not known."""
    orientations: np.ndarray | None = None
    """uint8 [N]: EXIF tags, 1 to 8, 0 without; None where not known."""
    ignored_kinds: Mapping[str, int] = field(default_factory=dict)
    """`ignored` by kind: hidden, or a suffix."""
    file: Path | None = None
    """The mapped file."""
    shards: Shards | None = None
    """The files that the images are packed in; None where each is a file of its own."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def unreadable(self) -> np.ndarray:
        """int64: images whose files had no readable header when they were indexed; whatever they hold now,
        others are shown in their places."""
        return np.flatnonzero(self.heights == 0)

    def path(self, i: int) -> Path:
        """Where image i lies."""
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        return self.root / os.fsdecode(self.name(i))

    def name(self, i: int) -> bytes:
        """The path of image i relative to the root, as the file system spells it."""
        first = self.ends[i - 1] + 1 if i else 0
        return self.names[first : self.ends[i]].tobytes()


def open_index(
    folder: Path,
    *,
    classes: Sequence[str] | None = None,
    rescan: bool = False,
    with_data: bool = False,
    machines: int = 1,
    say: Callable[[str], None] = print,
) -> Index:
    """The index of `folder`/class/**/file, scanned first where there is none or where a folder has changed.

    A change shows in the times of the class folders and of the folders in them; the classes where it does are
    read again. A file overwritten in place shows in no folder's time: `rescan` reads everything.
    `classes` gives the labels their meaning in place of the sorted folder names.
    Of several processes that need the same index one makes it and the others wait. Where `machines` would
    wait, a large folder is not scanned but refused: that is the work of `launch/index.py`.
    The index is written into the cache folder, or with `with_data` into .rexnet beside `folder`; it is read
    from wherever it is newer.

    Raises FileNotFoundError for a missing folder; ValueError for a folder without class folders, a class
    folder without images or without a readable one, class folders that `classes` lacks, a cache
    folder that lies within the data or cannot be written, and a scan that would keep many machines waiting.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # links stay as the user wrote them
    check_split(folder)
    if is_packed(folder):
        packed = Index(**read_packed(folder))
        return packed if classes is None else _relabelled(packed, tuple(classes))
    found, others = first_level(folder)
    caches = [beside(folder)] if with_data else [beside(folder), cache_path()]
    # What is wrong with an index is said under the lock, by the one process that makes it anew.
    index = None if rescan else _found(folder, found, caches=caches, say=lambda line: None)
    if index is None:
        if machines > 1:
            check_short_scan(folder, found)
        cache = folder_beside(folder) if with_data else cache_folder(outside=folder)
        file = catalog_file(cache, folder, found)
        waiting = f"waiting for another process that indexes {folder}"
        with lock(file.with_suffix(".lock"), say=say, waiting=waiting):
            index = None if rescan else _found(folder, found, caches=[cache], say=say)
            if index is None:
                known = {} if rescan else unchanged_classes([beside(folder), cache_path()], folder)
                write_catalog(file, scan(folder, found, known=known, say=say), others=others)
                index = _mapped(file, folder)
                if index.ignored:
                    say(f"left out in {folder}: {ignored_text(index.ignored_kinds)}")
    return index if classes is None else _relabelled(index, tuple(classes))


def find_index(folder: Path, *, say: Callable[[str], None] = print) -> Index | None:
    """The index of `folder` if there is one and no folder has changed since; nothing is written."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    if is_packed(folder):
        return Index(**read_packed(folder))
    return _found(folder, first_level(folder)[0], caches=[beside(folder), cache_path()], say=say)


def open_splits(data: Path, *, machines: int = 1, say: Callable[[str], None] = print) -> tuple[Index, Index]:
    """`data`/train and `data`/val; the labels of both are positions in train's classes.

    `machines` as in `open_index`.

    Raises FileNotFoundError and ValueError that say what `data` is, what was wanted and what to type.
    """
    data = Path(data)
    check_layout(data)
    refuse_cache_within(data)
    train = open_index(data / "train", machines=machines, say=say)
    return train, open_index(data / "val", classes=train.classes, machines=machines, say=say)


def _found(
    folder: Path, classes: Sequence[str], *, caches: Sequence[Path], say: Callable[[str], None]
) -> Index | None:
    """The newest index of `folder` in one of `caches` that fits `folder` as it stands."""
    for file in newest_first(catalog_file(cache, folder, classes) for cache in caches):
        if (index := _stored(file, folder, say=say)) is not None:
            return index
    return None


def _stored(file: Path, folder: Path, *, say: Callable[[str], None]) -> Index | None:
    """The index in `file`; None where there is none, where it is damaged, and where the data has changed."""
    try:
        about, _ = mapped.read(file)
        return None if changed_classes(about, folder) else _mapped(file, folder)
    except FileNotFoundError:
        return None
    except ValueError as fault:
        say(f"{fault}; it is made anew")
        return None


def _mapped(file: Path, folder: Path) -> Index:
    about, arrays = mapped.read(file)
    return Index(
        root=folder,
        classes=tuple(entry["name"] for entry in about["classes"]),
        identity=about["identity"],
        ignored=sum(about["ignored"].values()),
        ignored_kinds=about["ignored"],
        file=file,
        shards=None,
        **arrays,
    )


def _relabelled(index: Index, classes: tuple[str, ...]) -> Index:
    if index.classes == classes:
        return index
    place = {name: label for label, name in enumerate(classes)}
    foreign = [name for name in index.classes if name not in place]
    if foreign:
        raise ValueError(
            f"{index.root} has class folders that are none of the {len(classes)} classes asked for: "
            f"{enumeration(foreign)}; remove or rename them"
        )
    labels = np.array([place[name] for name in index.classes], np.int32)[index.labels]
    labels.setflags(write=False)
    digest = identity(names=index.names, sizes=index.sizes, labels=labels)
    return replace(index, classes=classes, labels=labels, identity=digest)
