"""What a data folder must look like, and what to type where it looks otherwise."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.cache import cache_path
from pipeline.shards import is_packed, packed_classes
from pipeline.walk import SUFFIXES, enumeration, first_level, holds_more

SCANNED_BY_A_JOB = 50_000
"""Most files of a split that a job on several machines scans by itself: 10 s at 5000 files/s."""

_OTHER_NAMES = ("validation", "valid", "dev", "test")


def check_layout(data: Path) -> None:
    """Raise FileNotFoundError or ValueError unless `data` holds train and val, sorted into the same classes.

    val may lack classes of train, not the other way about.
    """
    check_folder(data)
    if not (data / "train").is_dir():
        raise ValueError(f"{data} has no folder train: {_instead(data)}")
    check_split(data / "train")
    if not (data / "val").is_dir():
        there = [name for name in _OTHER_NAMES if (data / name).is_dir()]
        hint = f"if it is called {there[0]}: ln -s {there[0]} {data / 'val'}" if there else "add it"
        raise ValueError(f"{data} has a folder train but no folder val to measure the accuracy on; {hint}")
    check_split(data / "val")
    foreign = sorted(set(class_names(data / "val")) - set(class_names(data / "train")))
    if foreign:
        raise ValueError(
            f"{data / 'val'} has class folders that {data / 'train'} lacks: {enumeration(foreign)}; "
            "both must be sorted into the same classes"
        )


def class_names(split: Path) -> list[str]:
    """The classes of a split, as its class folders or its packing tell."""
    return packed_classes(split) if is_packed(split) else first_level(split)[0]


def check_split(folder: Path) -> None:
    """Raise FileNotFoundError or ValueError unless `folder` holds class folders, or is a packed split."""
    check_folder(folder)
    if is_packed(folder):
        return
    classes, others = first_level(folder)
    if classes:
        return
    loose = sum(name.lower().endswith(SUFFIXES) for name in others)
    if not loose:
        raise ValueError(f"{folder} holds no class folders; wanted: {folder}/CLASS/IMAGE.jpg")
    hint = ""
    if any(name.startswith("ILSVRC2012_val_") for name in others):
        script = "https://raw.githubusercontent.com/soumith/imagenetloader.torch/master/valprep.sh"
        hint = f"; for ImageNet: cd {folder} && wget -qO- {script} | bash"
    raise ValueError(
        f"the {loose} images in {folder} are not sorted into class folders; "
        f"wanted: {folder}/CLASS/IMAGE.jpg{hint}"
    )


def check_short_scan(folder: Path, classes: Sequence[str]) -> None:
    """Raise ValueError where a split without an index holds more than machines should wait for."""
    if not holds_more(folder, classes, than=SCANNED_BY_A_JOB):
        return
    data = folder.parent
    whole = folder.name in ("train", "val") and (data / "train").is_dir() and (data / "val").is_dir()
    told = os.environ.get("REXNET_CACHE")
    words = ["python", "launch/index.py", str(data if whole else folder)]
    command = shlex.join([f"REXNET_CACHE={told}", *words] if told else words)
    raise ValueError(
        f"{folder} has no index in {cache_path()} or has changed since, and holds more than "
        f"{SCANNED_BY_A_JOB} files: too many to scan while several machines wait. Make it once, with a cache "
        f"folder that all machines see: {command}"
    )


def check_folder(folder: Path) -> None:
    """Raises FileNotFoundError or ValueError for what is no folder, with what is there."""
    if folder.is_dir():
        return
    if folder.exists():
        raise ValueError(f"{folder} is a file; wanted: a folder that holds train/ and val/, or one of them")
    above = next(parent for parent in folder.absolute().parents if parent.is_dir())
    raise FileNotFoundError(f"no folder {folder}; what exists is {above}; name the one that holds the images")


def _instead(data: Path) -> str:
    """What is there in place of train, and what to type."""
    above = data.absolute().parent
    if data.name in ("train", "val") and (above / "train").is_dir():
        return f"it is one split itself; name the folder above: {above}"
    classes, _ = first_level(data)
    if below := _below(data, levels=3):
        return f"it lies deeper: {below}"
    wanted = f"wanted: {data}/train/CLASS/IMAGE.jpg and {data}/val/CLASS/IMAGE.jpg"
    return f"it holds {enumeration(classes)}; {wanted}" if classes else f"it holds no folders; {wanted}"


def _below(folder: Path, *, levels: int) -> Path | None:
    """The first folder below that holds train/, looking where there are few others: not among classes."""
    names, _ = first_level(folder)
    if len(names) > 10:
        return None
    for name in names:
        if (folder / name / "train").is_dir():
            return folder / name
    found = (_below(folder / name, levels=levels - 1) for name in names) if levels > 1 else ()
    return next((path for path in found if path is not None), None)
