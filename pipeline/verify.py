"""Decodes whole data sets, to find the files that are damaged, also where neither header nor end shows it."""

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.header import read_header
from pipeline.index import Index
from pipeline.progress import Progress
from pipeline.reading import SoundReader
from pipeline.soundness import find_fault
from pipeline.storage import read_file
from pipeline.walk import first_level, list_class

_CHUNK = 16  # files of one task

Fault: TypeAlias = tuple[Path, str]
"""A damaged file, and what is wrong: goes on after the file's name."""


def verify_index(index: Index, *, say: Callable[[str], None]) -> Iterator[Fault]:
    """Read and decode every image with all cores; yield the damaged ones, in order, as they are found.

    Damaged is what a training would not show (`pipeline.soundness`), and what Pillow cannot decode.
    """
    read = SoundReader(index)

    def check(i: int) -> Fault | None:
        encoded = read(i)
        fault = encoded if isinstance(encoded, str) else undecodable(encoded)
        return (index.path(i), fault) if fault else None

    return _checked(check, total=len(index), root=index.root, say=say, stop=read.close)


def verify_tree(root: Path, *, say: Callable[[str], None]) -> Iterator[Fault]:
    """As `verify_index`, for a split that cannot be indexed because of its damaged files."""
    files = [root / file for name in first_level(root)[0] for file in list_class(root, name).files]

    def check(i: int) -> Fault | None:
        try:
            header = read_header(str(files[i]))
            encoded = read_file(files[i])
        except (OSError, ValueError) as error:
            return files[i], f"is no intact image: {error}"
        fault = find_fault(encoded, size=header.size, height=header.height, width=header.width)
        fault = fault or undecodable(encoded)
        return (files[i], fault) if fault else None

    return _checked(check, total=len(files), root=root, say=say, stop=lambda: None)


def undecodable(encoded: np.ndarray) -> str | None:
    """What keeps Pillow from decoding bytes [N], or None.

    The checksums of a PNG are compared. A JPEG has none: bits that flipped within it may go unseen.
    """
    try:
        with Image.open(BytesIO(encoded.data)) as opened:
            opened.verify()
        with Image.open(BytesIO(encoded.data)) as opened:
            opened.convert("RGB")
    except UnidentifiedImageError:
        return "cannot be decoded: Pillow does not know what it is"
    except Exception as error:  # a damaged file raises many kinds
        return f"cannot be decoded: {str(error) or type(error).__name__}"
    return None


def _checked(
    check: Callable[[int], Fault | None],
    *,
    total: int,
    root: Path,
    say: Callable[[str], None],
    stop: Callable[[], None],
) -> Iterator[Fault]:
    def check_some(first: int) -> list[Fault | None]:
        return [check(i) for i in range(first, min(first + _CHUNK, total))]

    progress = Progress(doing=f"verifying {root}", done=f"verified {root}", total=total, say=say)
    threads = len(os.sched_getaffinity(0))  # Pillow decodes beside Python, so threads are enough
    with warnings.catch_warnings(), ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, but below Pillow's limit
        try:
            for results in pool.map(check_some, range(0, total, _CHUNK)):
                progress.add(len(results))
                yield from filter(None, results)
        finally:
            stop()  # a thread may be waiting for data that are gone
            pool.shutdown(wait=False, cancel_futures=True)
    progress.end()
