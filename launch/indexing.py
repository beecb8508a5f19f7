"""The index program: indexes one or two splits, says what they hold, and decodes them if asked."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.imagenet import CLASSES, TRAIN_IMAGES, VAL_IMAGES, has_its_classes
from pipeline.index import Index, find_index, open_index
from pipeline.layout import check_folder, check_layout, check_split
from pipeline.progress import Progress
from pipeline.scan import UnreadableFiles
from pipeline.shards import is_packed
from pipeline.summary import as_bytes, row, summary
from pipeline.verify import Fault, verify_index, verify_tree
from pipeline.walk import first_level

_SPLITS = ("train", "val")
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


def index_data(folder: Path, *, rescan: bool, decoder: str | None, beside: bool) -> int:
    """Indexes `folder`, prints what it holds, and returns the exit code: 1 where a file is damaged.

    Args:
        decoder: what decodes every image, pillow or dali; None decodes nothing.

    Raises:
        ValueError, FileNotFoundError: there is nothing to index; the message says what was wanted.
    """
    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  # links stay as the user wrote them
    indexes: list[Index] = []
    damaged = 0
    for split in find_splits(folder):
        classes = indexes[0].classes if indexes else None
        try:
            index = _index(split, classes=classes, rescan=rescan, beside=beside)
        except UnreadableFiles:
            if decoder is None:
                raise
            index = None
        else:
            indexes.append(index)
        if decoder is not None:
            damaged += _verify(split, index, decoder=decoder)
    if len(indexes) == 2 and (line := imagenet_line(*indexes)):
        _say(line)
    return 1 if damaged else 0


def find_splits(folder: Path) -> list[Path]:
    """Returns the splits that `folder` holds, or itself where it is one.

    Raises:
        ValueError, FileNotFoundError: it is neither; the message names what there is and what to type.
    """
    check_folder(folder)
    names, _ = first_level(folder)
    if "train" in names and ("val" in names or _is_split(folder / "train")):  # else a class of that name
        _check_both(folder)
        return [folder / name for name in _SPLITS]
    if "val" in names and _is_split(folder / "val"):
        return [folder / "val"]
    if deeper := [name for name in names if (folder / name / "train").is_dir()]:
        command = shlex.join(["python", "launch/index.py", str(folder / deeper[0])])
        raise ValueError(f"{folder} is not the data set, it lies one level deeper: {command}")
    if len(names) > 1 and set(names) <= _SPLIT_NAMES:
        raise ValueError(f"{folder} holds {', '.join(names)}; the splits must be called train and val")
    check_split(folder)
    return [folder]


def imagenet_line(train: Index, val: Index) -> str | None:
    """Returns whether this is ImageNet-1k as a whole, or None for classes that are not its 1000."""
    counts = [(len(train), TRAIN_IMAGES), (len(val), VAL_IMAGES)]
    if not has_its_classes(train.classes) or train.classes != val.classes:
        return None
    found = [f"{have} of {whole}{' ok' if have == whole else ' WRONG'}" for have, whole in counts]
    return f"ImageNet-1k: {CLASSES} classes, training images {found[0]}, validation images {found[1]}"


def _check_both(folder: Path) -> None:
    try:
        check_layout(folder)
    except ValueError as error:
        if (folder / "val").is_dir():
            raise
        alone = shlex.join(["python", "launch/index.py", str(folder / "train")])
        raise ValueError(f"{error}; to index train alone: {alone}") from None


def _say(line: str) -> None:
    print(os.fsencode(line).decode(errors="backslashreplace"), flush=True)  # names need not be UTF-8


def _is_split(folder: Path) -> bool:
    return is_packed(folder) or bool(first_level(folder)[0])


def _index(split: Path, *, classes: tuple[str, ...] | None, rescan: bool, beside: bool) -> Index:
    before = None if rescan else find_index(split, say=lambda line: None)
    began = time.monotonic()
    index = open_index(split, classes=classes, rescan=rescan, with_data=beside, say=_say)
    seconds = time.monotonic() - began
    made = index.shards is None and (before is None or before.file != index.file)
    _say(str(split))
    for line in summary(index):
        _say(line)
    if index.file is not None:
        size = as_bytes(index.file.stat().st_size)
        spent = f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
        _say(row("index", f"{index.file}, {size}, {'made' if made else 'opened'} in {spent}"))
    _say(row("identity", index.identity))
    if len(index.classes) == 1:
        _say(f"There is one class only, {index.classes[0]}: is {split} the right folder?")
    return index


def _verify(split: Path, index: Index | None, *, decoder: str) -> int:
    began = time.monotonic()
    if index is None:
        faults = verify_tree(split, say=_say)
    else:
        faults = _decode_by_dali(index) if decoder == "dali" else verify_index(index, say=_say)
    count = 0
    for file, fault in faults:
        count += 1
        _say(f"damaged: {file} {fault}")
    files = "every file" if index is None else f"{len(index)} images"
    _say(f"decoded {files} of {split} in {time.monotonic() - began:.1f} s: {count or 'none'} damaged")
    return count


def _decode_by_dali(index: Index) -> Iterator[Fault]:
    """As `verify_index`, by what evaluations decode with; imported here, since nothing else needs torch."""
    from launch.engine.distributed import find_device, find_place
    from pipeline.config import Evaluation, Feeding
    from pipeline.loader import eval_batches

    root = index.root
    progress = Progress(doing=f"verifying {root}", done=f"verified {root}", total=len(index), say=_say)
    batches = eval_batches(
        index,
        evaluation=Evaluation(),
        feeding=Feeding(),
        rank=0,
        world_size=1,
        device=find_device(find_place()),
        image_size=224,
    )
    for batch in batches:
        progress.add(len(batch.ids))
        yield from ((index.path(bad.id), bad.fault) for bad in batch.bad)
    progress.end()
