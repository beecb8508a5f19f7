"""The packing program: a data set, or ImageNet's archives, into packed splits."""

from __future__ import annotations

import os
import shlex
from functools import partial
from pathlib import Path

from pipeline.agreement import Packing
from pipeline.archives import train_archive, val_archive
from pipeline.imagenet import CLASSES, TRAIN_IMAGES, VAL_IMAGES
from pipeline.index import Index, open_index, open_splits
from pipeline.packing import pack
from pipeline.resizing import Resizing
from pipeline.truth import read_truth
from pipeline.unpacking import unpack as unpack_split
from pipeline.walk import first_level

_say = partial(print, flush=True)
_IMAGENET = {"training images": TRAIN_IMAGES, "validation images": VAL_IMAGES, "classes": CLASSES}


def pack_data(
    *,
    paths: tuple[Path, ...],
    short_side: int | None,
    quality: int,
    shard_size: int,
    processes: int,
    imagenet: tuple[Path, Path] | None,
    labels: Path | None,
    unpack: bool,
) -> int:
    """Packs, says what was packed, and returns the exit code: 1 where archives are not ImageNet's.

    Raises:
        ValueError, FileNotFoundError: something asked for is impossible or not there; the message says what.
    """
    resizing = None if short_side is None else Resizing(short_side=short_side, quality=quality)
    if unpack and resizing is not None:
        raise ValueError("--unpack leaves the images as they are: leave out --short-side, or --unpack")
    wanted = ["DIR", "OUT"] if imagenet is None else ["OUT"]
    if len(paths) != len(wanted):
        raise ValueError(f"wanted: {' '.join(wanted)}; given: {shlex.join(map(str, paths)) or 'nothing'}")
    if imagenet is None and (labels is not None or unpack):
        raise ValueError("--labels and --unpack go with --imagenet TRAIN.tar VAL.tar")
    *folder, out = (Path(os.path.abspath(path.expanduser())) for path in paths)  # noqa: PTH100  # links stay
    typed = ["python", "launch/pack.py", *map(str, folder), str(out), f"--shard-size={shard_size}"]
    if resizing is not None:
        typed += [f"--short-side={resizing.short_side}", f"--quality={resizing.quality}"]
    if imagenet is not None:
        typed += ["--imagenet", *(str(file.absolute()) for file in imagenet), "--labels", str(labels)]
    packing = Packing(
        resizing=resizing,
        shard_size=shard_size,
        processes=processes or len(os.sched_getaffinity(0)),
        command=shlex.join(typed),
    )
    splits = find_splits(folder[0], out=out) if imagenet is None else open_archives(imagenet, labels)
    for name, split in splits.items():
        if unpack:
            unpack_split(split, out / name, say=_say)
        else:
            pack(split, out / name, packing=packing, say=_say)
    _say(f"to train from it: --data {shlex.quote(str(out))}")
    wrong = [] if imagenet is None else wrong_counts(splits["train"], splits["val"])
    for line in wrong:
        _say(f"this is not ImageNet-1k: {line}")
    return 1 if wrong else 0


def open_archives(archives: tuple[Path, Path], labels: Path | None) -> dict[str, Index]:
    """Returns the splits in ImageNet's archives, and says of each count whether it is the published one.

    Raises:
        ValueError, FileNotFoundError: they are not these archives, or the labels are missing.
    """
    if labels is None:
        raise ValueError(
            "the archive of the validation images does not tell their classes; add --labels "
            "ILSVRC2012_devkit_t12.tar.gz, or --labels LOC_val_solution.csv"
        )
    truth = read_truth(labels.expanduser())
    train = train_archive(archives[0].expanduser().absolute(), say=_say)
    val = val_archive(archives[1].expanduser().absolute(), truth=truth, classes=train.classes)
    for split in (train, val):
        if split.ignored:
            _say(f"left out in {split.root}: {split.ignored} files that are none of ImageNet's images")
    for line in counts(train, val):
        _say(line)
    return {"train": train, "val": val}


def counts(train: Index, val: Index) -> list[str]:
    """Returns a line for each count, which ends in ok, or says what it should be."""
    found = {"training images": len(train), "validation images": len(val), "classes": len(train.classes)}
    return [
        f"{found[name]} {name}: {'ok' if found[name] == wanted else f'wrong, ImageNet-1k has {wanted}'}"
        for name, wanted in _IMAGENET.items()
    ]


def wrong_counts(train: Index, val: Index) -> list[str]:
    """Returns the lines of `counts` that are not ok."""
    return [line for line in counts(train, val) if not line.endswith(": ok")]


def find_splits(folder: Path, *, out: Path) -> dict[str, Index]:
    """Returns the splits of `folder` by name, or the one that it is under the name "".

    Raises:
        ValueError, FileNotFoundError: it is neither, or `out` lies in it.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out} lies within {folder}, whose class folders are packed; name another OUT")
    if (folder / "train").is_dir():
        train, val = open_splits(folder, say=_say)
        return {"train": train, "val": val}
    if (folder / "val").is_dir():
        return {"val": open_index(folder / "val", say=_say)}
    names = first_level(folder)[0] if folder.is_dir() else []
    deeper = [name for name in names if (folder / name / "train").is_dir()]
    if deeper:
        raise ValueError(f"{folder} holds no splits, they lie one level deeper: {folder / deeper[0]}")
    return {"": open_index(folder, say=_say)}
