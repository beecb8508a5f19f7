"""Whether the data set is laid out as it must be, and indexed. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.checks.finding import Finding
from pipeline.imagenet import TRAIN_IMAGES, VAL_IMAGES, has_its_classes, is_imagenet_1k
from pipeline.index import Index, find_index, open_splits
from pipeline.layout import check_layout, check_short_scan, class_names
from pipeline.walk import first_level


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """An indexed split."""

    images: int
    classes: int
    unreadable: int
    identity: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A data folder as it stands."""

    folder: Path | None
    """None: none was named."""
    drawn: bool = False
    """The recipe draws its own images where no folder is named."""
    machines: int = 1
    fault: str | None = None
    """What is wrong with the layout, and what to type."""
    too_large: str | None = None
    """Why a job on several machines would not index it by itself, and what to type."""
    classes: int = 0
    """Of train, by its folders."""
    train: Split | None = None
    val: Split | None = None
    whole_imagenet: bool = False
    wordnet: bool = False
    """Whether there are 1000 classes that are called as ImageNet's are."""
    most_bad: int = 0
    """Unreadable training images that a run puts up with."""

    @property
    def identity(self) -> str | None:
        """What all machines must see alike, once it is indexed."""
        return f"{self.train.identity[:8]} {self.val.identity[:8]}" if self.train and self.val else None


def gather(folder: Path | None, *, drawn: bool, machines: int, max_bad: float, make_index: bool) -> DataSet:
    """Looks at `folder`'s class folders and index.

    Args:
        drawn: whether the recipe needs none.
        machines: how many would wait for an index.
        max_bad: share of the training images that may be unreadable.
        make_index: index a set that is small enough for a job to do so.
    """
    if folder is None:
        return DataSet(folder=None, drawn=drawn)
    folder = folder.expanduser()
    try:
        check_layout(folder)
        names = class_names(folder / "train")
        splits: Sequence[Index | None]
        splits = [find_index(folder / name, say=lambda line: None) for name in ("train", "val")]
        too_large = _refusal(folder) if None in splits and (machines > 1 or make_index) else None
        if None in splits and make_index and too_large is None:
            splits = open_splits(folder, say=lambda line: None)
    except (ValueError, OSError) as error:
        return DataSet(folder=folder, fault=str(error))
    train, val = splits
    return DataSet(
        folder=folder,
        machines=machines,
        too_large=too_large,
        classes=len(names),
        train=_split(train),
        val=_split(val),
        whole_imagenet=train is not None and val is not None and is_imagenet_1k(train, val),
        wordnet=has_its_classes(names),
        most_bad=0 if train is None else _most_bad(max_bad, images=len(train)),
    )


def judge(data: DataSet) -> Finding:
    """Returns what is to be said of the data set."""
    if data.folder is None and data.drawn:
        return Finding("ok", "none named: the demo draws its own images")
    if data.folder is None:
        return Finding(
            "error",
            "none named, and this recipe needs one: a folder that holds train/ and val/",
            "--data DIR",
        )
    if data.fault is not None:
        return Finding("error", data.fault)
    if data.too_large is not None:
        return Finding("error" if data.machines > 1 else "warning", data.too_large)
    index = shlex.join(["python", "launch/index.py", str(data.folder)])
    if data.train is None or data.val is None:
        lacking = " and ".join(
            name for name, split in (("train", data.train), ("val", data.val)) if split is None
        )
        return Finding(
            "warning",
            f"{data.folder}: {data.classes} classes; no index of {lacking}, or it has changed since: the "
            "training's start will make it, which takes minutes for a large set",
            index,
        )
    told = (
        f"{data.folder}: {data.train.images} training images in {data.train.classes} classes, "
        f"{data.val.images} for validation in {data.val.classes}, indexed"
    )
    if data.whole_imagenet:
        told += "; this is ImageNet-1k as a whole"
    unreadable = data.train.unreadable + data.val.unreadable
    if data.train.unreadable > data.most_bad:
        return Finding(
            "error",
            f"{told}; {data.train.unreadable} training images are no readable JPEG or PNG, more than the "
            f"{data.most_bad} that --max-bad allows: put intact copies in their place",
            f"{index} --verify",
        )
    if unreadable:
        return Finding(
            "warning",
            f"{told}; {unreadable} files are no readable JPEG or PNG: others of their class stand in",
            f"{index} --verify",
        )
    if data.wordnet and not data.whole_imagenet:
        return Finding(
            "warning",
            f"{told}; ImageNet-1k has {TRAIN_IMAGES} and {VAL_IMAGES} images",
            f"{index} --rescan",
        )
    return Finding("ok", told)


def _split(index: Index | None) -> Split | None:
    if index is None:
        return None
    held = len(set(index.labels.tolist()))
    return Split(images=len(index), classes=held, unreadable=len(index.unreadable), identity=index.identity)


def _refusal(folder: Path) -> str | None:
    try:
        for name in ("train", "val"):
            if find_index(folder / name, say=lambda line: None) is None:
                check_short_scan(folder / name, first_level(folder / name)[0])
    except ValueError as error:
        return str(error)
    return None


def _most_bad(share: float, *, images: int) -> int:
    from launch.engine.bad_images import most_bad

    return most_bad(share, images=images)
