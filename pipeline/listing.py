"""An index of files of one's choice, in no class: what is shown to a network that is to name it."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.header import Header, read_header
from pipeline.index import Index
from pipeline.walk import SUFFIXES, list_class

_THREADS = 16  # a network file system lets several headers be waited for at once
_ROOT = Path("/")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Listing:
    """Images in the order they were named."""

    index: Index
    """All labels are 0."""
    files: tuple[Path, ...]
    """Image i of the index, as the user would write it."""
    bad: tuple[tuple[Path, str], ...]
    """Files that are no images, and what is wrong with them: goes on after the file's name."""


def list_images(given: Sequence[Path]) -> Listing:
    """Lists files, and the images in folders and all folders within; a file named twice is listed once.

    A file that is named is looked at whatever its suffix; in folders the suffix decides, and hidden files and
    folders are left out.

    Raises:
        ValueError: a folder holds no image, or cannot be listed.
    """
    files = [*dict.fromkeys(file for path in given for file in _expanded(path))]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="list") as pool:
        found = [*zip(files, pool.map(_header, files), strict=True)]
    good = [(file, header) for file, header in found if isinstance(header, Header)]
    return Listing(
        index=_index([file for file, _ in good], [header for _, header in good]),
        files=tuple(file for file, _ in good),
        bad=tuple((file, header) for file, header in found if isinstance(header, str)),
    )


def _expanded(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    whole = Path(os.path.abspath(path))  # noqa: PTH100  # links stay as the user wrote them
    inside = list_class(whole.parent, whole.name).files
    if not inside:
        raise ValueError(f"the folder {path} holds no image ({', '.join(SUFFIXES)})")
    for file in inside:
        yield path / Path(file).relative_to(whole.name)


def _header(file: Path) -> Header | str:
    try:
        return read_header(str(file))
    except ValueError as fault:
        return "is not there" if str(fault) == "gone" else f"is no intact image: {fault}"


def _index(files: Sequence[Path], headers: Sequence[Header]) -> Index:
    names = [os.fsencode(os.path.abspath(file)).lstrip(b"/") + b"\0" for file in files]  # noqa: PTH100
    table = np.array(headers, np.int64).reshape(len(files), len(Header._fields))
    return Index(
        root=_ROOT,
        classes=("",),
        identity="",
        labels=np.zeros(len(files), np.int32),
        heights=table[:, 0].astype(np.int32),
        widths=table[:, 1].astype(np.int32),
        sizes=table[:, 2],
        ignored=0,
        names=np.frombuffer(b"".join(names), np.uint8),
        ends=np.cumsum([len(name) for name in names], dtype=np.int64) - 1,
    )
