"""The index of one split: every image's path, label, size in bytes and size in pixels, in one mapped file."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline import mapped
from pipeline.cache import cache_folder, lock
from pipeline.catalog import catalog_file, changed_classes, identity, unchanged_classes, write_catalog
from pipeline.layout import check_layout, check_split
from pipeline.scan import scan
from pipeline.walk import enumeration, first_level


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
    """int32 [N], pixels as stored, without EXIF rotation."""
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

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, i: int) -> Path:
        """Where image i lies."""
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        first = self.ends[i - 1] + 1 if i else 0
        return self.root / os.fsdecode(self.names[first : self.ends[i]].tobytes())


def open_index(
    folder: Path,
    *,
    classes: Sequence[str] | None = None,
    rescan: bool = False,
    say: Callable[[str], None] = print,
) -> Index:
    """The index of `folder`/class/**/file, scanned first where there is none or where a folder has changed.

    A change shows in the times of the class folders and of the folders in them; the classes where it does are
    read again. A file overwritten in place shows in no folder's time: `rescan` reads everything.
    `classes` gives the labels their meaning in place of the sorted folder names.
    Of several processes that need the same index one makes it and the others wait.

    Raises FileNotFoundError for a missing folder; ValueError for a folder without class folders, a class
    folder without images, files without a readable header, class folders that `classes` lacks, and a cache
    folder that lies within the data or cannot be written.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # links stay as the user wrote them
    check_split(folder)
    cache = cache_folder(outside=folder)
    found, others = first_level(folder)
    file = catalog_file(cache, folder, found)
    index = None if rescan else _stored(file, folder, say=lambda line: None)  # what it says is said below
    if index is None:
        waiting = f"waiting for another process that indexes {folder}"
        with lock(file.with_suffix(".lock"), say=say, waiting=waiting):
            index = None if rescan else _stored(file, folder, say=say)
            if index is None:
                known = {} if rescan else unchanged_classes(cache, folder)
                write_catalog(file, scan(folder, found, known=known, say=say), others=len(others))
                index = _mapped(file, folder)
    return index if classes is None else _relabelled(index, tuple(classes))


def open_splits(data: Path, *, say: Callable[[str], None] = print) -> tuple[Index, Index]:
    """`data`/train and `data`/val; the labels of both are positions in train's classes.

    Raises FileNotFoundError and ValueError that say what `data` is, what was wanted and what to type.
    """
    data = Path(data)
    check_layout(data)
    cache_folder(outside=data)
    train = open_index(data / "train", say=say)
    return train, open_index(data / "val", classes=train.classes, say=say)


def is_imagenet_1k(train: Index, val: Index) -> bool:
    """Whether this is ILSVRC 2012: its 1000 WordNet classes, 1,281,167 and 50,000 images."""
    return len(train) == 1_281_167 and train.classes == val.classes and is_imagenet_1k_val(val)


def is_imagenet_1k_val(val: Index) -> bool:
    """Whether this is the validation split of ILSVRC 2012: its 1000 WordNet classes, 50,000 images."""
    return (
        len(val) == 50_000
        and len(val.classes) == 1000
        and all(re.fullmatch(r"n\d{8}", name) for name in val.classes)
    )


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
        ignored=about["ignored"],
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
