"""ImageNet's archives as they are published, each seen as a split: nothing is unpacked.

ILSVRC2012_img_train.tar holds a tar file for each class, ILSVRC2012_img_val.tar the images alone
(https://image-net.org/challenges/LSVRC/2012/2012-downloads.php).
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path

import numpy as np

from pipeline.catalog import identity
from pipeline.index import Index
from pipeline.progress import Progress
from pipeline.shards import Shards
from pipeline.tarring import Member, members
from pipeline.walk import enumeration

_THREADS = 16  # of a network file system, the latency is what counts
_CLASS = re.compile(r"(?:\./)?(n\d{8})\.tar")
_TRAIN = re.compile(r"(?:\./)?((n\d{8})_\d+\.JPEG)")
_VAL = re.compile(r"(?:\./|val/)?(ILSVRC2012_val_(\d{8})\.JPEG)")


def train_archive(file: Path, *, say: Callable[[str], None]) -> Index:
    """The training split in ILSVRC2012_img_train.tar, in the order of its class folders.

    Names are taken from the archive only where they look as they must; all else is left out and counted.
    Heights and widths are 0, as nothing is decoded.

    Raises FileNotFoundError or ValueError for what is no such archive, or is cut off.
    """
    with _opened(file) as source:
        fd, stop = source.fileno(), os.fstat(source.fileno()).st_size
        outer = _listed(file, fd, 0, stop)
        classes = {match[1]: each for each in outer if (match := _CLASS.fullmatch(each.name))}
        if not classes:
            raise ValueError(
                f"{file} holds no nNNNNNNNN.tar{_instead(outer)}; wanted: ILSVRC2012_img_train.tar"
            )

        def list_class(wnid: str) -> tuple[list[Member], int]:
            inner = classes[wnid]
            return _chosen(
                file,
                wnid,
                _listed(file, fd, inner.offset, inner.offset + inner.size),
            )

        progress = Progress(doing=f"listing {file}", done=f"listed {file}", total=None, say=say)
        found, ignored = [], len(outer) - len(classes)
        with ThreadPoolExecutor(_THREADS) as pool:
            for label, (images, others) in enumerate(pool.map(list_class, sorted(classes))):
                found += [(label, image) for image in images]
                ignored += others
                progress.add(len(images))
        progress.end()
    return _index(file, stop, tuple(sorted(classes)), found, ignored=ignored)


def val_archive(file: Path, *, truth: Mapping[int, str], classes: tuple[str, ...]) -> Index:
    """The validation split in ILSVRC2012_img_val.tar, as if sorted into folders; `truth` gives the classes.

    Raises as `train_archive`, and ValueError for images whose class `truth` or `classes` lacks.
    """
    with _opened(file) as source:
        stop = os.fstat(source.fileno()).st_size
        listed = _listed(file, source.fileno(), 0, stop)
    matches = [(each, match) for each in listed if (match := _VAL.fullmatch(each.name))]
    if not matches:
        raise ValueError(
            f"{file} holds no ILSVRC2012_val_NNNNNNNN.JPEG{_instead(listed)}; wanted: ILSVRC2012_img_val.tar"
        )
    place = {wnid: label for label, wnid in enumerate(classes)}
    strange = [match[1] for _, match in matches if truth.get(int(match[2])) not in place]
    if strange:
        raise ValueError(
            f"the labels give no class of the training images for {enumeration(sorted(strange))} in {file}"
        )
    _refuse_twice(file, [match[1] for _, match in matches])
    found = []
    for each, match in matches:
        wnid = truth[int(match[2])]
        found.append((place[wnid], Member(f"{wnid}/{match[1]}", each.offset, each.size)))
    return _index(file, stop, classes, sorted(found), ignored=len(listed) - len(matches))


def _opened(file: Path) -> BufferedReader:
    if not file.is_file():
        raise FileNotFoundError(f"there is no archive {file}")
    return file.open("rb")


def _listed(file: Path, fd: int, start: int, stop: int) -> list[Member]:
    try:
        return list(members(fd, start=start, stop=stop))
    except ValueError as fault:
        raise ValueError(f"{file} is no intact tar file: {fault}; download it again") from None


def _chosen(file: Path, wnid: str, listed: Iterable[Member]) -> tuple[list[Member], int]:
    """The images of a class in ImageFolder's order, and how many other files there are."""
    chosen, others = [], 0
    for each in listed:
        match = _TRAIN.fullmatch(each.name)
        if match is None or match[2] != wnid:
            others += 1
        else:
            chosen.append(Member(f"{wnid}/{match[1]}", each.offset, each.size))
    if not chosen:
        raise ValueError(f"{file} holds no image of {wnid}; download it again")
    _refuse_twice(file, [each.name for each in chosen])
    return sorted(chosen), others


def _refuse_twice(file: Path, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"{file} holds more than one image called {enumeration(twice)}")


def _instead(listed: list[Member]) -> str:
    return f", but {listed[0].name}" if listed else ""


def _index(
    file: Path, size: int, classes: tuple[str, ...], found: list[tuple[int, Member]], *, ignored: int
) -> Index:
    paths = [each.name.encode() for _, each in found]
    labels = np.array([label for label, _ in found], np.int32)
    sizes = np.array([each.size for _, each in found], np.int64)
    names = np.frombuffer(b"\0".join(paths) + b"\0", np.uint8)
    shards = Shards(
        files=(file,),
        bytes=(size,),
        first=np.zeros(1, np.int64),
        offsets=np.array([each.offset for _, each in found], np.int64),
        remedy="download it again",
    )
    return Index(
        root=file,
        classes=classes,
        identity=identity(names=names, sizes=sizes, labels=labels),
        labels=labels,
        heights=np.zeros(len(found), np.int32),
        widths=np.zeros(len(found), np.int32),
        sizes=sizes,
        ignored=ignored,
        names=names,
        ends=np.cumsum([len(path) + 1 for path in paths], dtype=np.int64) - 1,
        ignored_kinds={"other": ignored} if ignored else {},
        shards=shards,
    )
