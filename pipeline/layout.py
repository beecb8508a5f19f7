"""What a data folder must look like, and what to type where it looks otherwise."""

from pathlib import Path

from pipeline.walk import SUFFIXES, enumeration, first_level

_OTHER_NAMES = ("validation", "valid", "dev", "test")


def check_layout(data: Path) -> None:
    """Raise FileNotFoundError or ValueError unless `data` holds train and val, sorted into the same classes.

    val may lack classes of train, not the other way about.
    """
    _check_folder(data)
    if not (data / "train").is_dir():
        raise ValueError(f"{data} has no folder train: {_instead(data)}")
    check_split(data / "train")
    if not (data / "val").is_dir():
        there = [name for name in _OTHER_NAMES if (data / name).is_dir()]
        hint = f"if it is called {there[0]}: ln -s {there[0]} {data / 'val'}" if there else "add it"
        raise ValueError(f"{data} has a folder train but no folder val to measure the accuracy on; {hint}")
    check_split(data / "val")
    train, _ = first_level(data / "train")
    val, _ = first_level(data / "val")
    foreign = sorted(set(val) - set(train))
    if foreign:
        raise ValueError(
            f"{data / 'val'} has class folders that {data / 'train'} lacks: {enumeration(foreign)}; "
            "both must be sorted into the same classes"
        )


def check_split(folder: Path) -> None:
    """Raise FileNotFoundError or ValueError unless `folder` holds class folders."""
    _check_folder(folder)
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


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise ValueError(f"{folder} is a file; wanted: a folder of images")
    above = next(parent for parent in folder.absolute().parents if parent.is_dir())
    raise FileNotFoundError(f"no folder {folder}; what exists is {above}. Name the data: --data DIR")


def _instead(data: Path) -> str:
    """What is there in place of train, and what to type."""
    above = data.absolute().parent
    if data.name in ("train", "val") and (above / "train").is_dir():
        return f"it is one split itself; name the folder above: --data {above}"
    classes, _ = first_level(data)
    for name in classes:
        if (data / name / "train").is_dir():
            return f"it lies one level deeper: --data {data / name}"
    wanted = f"wanted: {data}/train/CLASS/IMAGE.jpg and {data}/val/CLASS/IMAGE.jpg"
    return f"it holds {enumeration(classes)}; {wanted}" if classes else f"it holds no folders; {wanted}"
