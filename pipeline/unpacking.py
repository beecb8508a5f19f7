"""From archives to class folders."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.index import Index
from pipeline.progress import Progress
from pipeline.storage import read_image
from pipeline.summary import as_bytes

_THREADS = 8


def unpack(source: Index, out: Path, *, say: Callable[[str], None]) -> None:
    """Writes every image of `source` to `out`/class/name; class folders that are complete already are kept.

    A class folder appears when all of its images are in it. Paths are made from `source`, whose names have
    been checked.

    Raises ValueError for a disk without the room, for a class folder with other files, and as `read_image`.
    """
    out.mkdir(parents=True, exist_ok=True)
    edges = [0, *(np.flatnonzero(np.diff(source.labels)) + 1).tolist(), len(source)]
    missing = [(first, stop) for first, stop in pairwise(edges) if not _is_complete(source, out, first, stop)]
    needed = sum(int(source.sizes[first:stop].sum()) + 4096 * (stop - first) for first, stop in missing)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise ValueError(
            f"{out} has {as_bytes(free)} free, but unpacking needs about {as_bytes(needed)}; "
            "make room, or name a folder elsewhere"
        )
    progress = Progress(doing=f"unpacking {out}", done=f"unpacked {out}", total=len(source), say=say)
    progress.add(len(source) - sum(stop - first for first, stop in missing))

    def write(edge: tuple[int, int]) -> int:
        _write_class(source, out, *edge)
        return edge[1] - edge[0]

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for count in pool.map(write, missing):
                progress.add(count)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    progress.end()


def _write_class(source: Index, out: Path, first: int, stop: int) -> None:
    wnid = source.classes[source.labels[first]]
    part = out / f".{wnid}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for i in range(first, stop):
        (part / source.path(i).name).write_bytes(read_image(source, i).data)
    shutil.rmtree(out / wnid, ignore_errors=True)
    part.rename(out / wnid)


def _is_complete(source: Index, out: Path, first: int, stop: int) -> bool:
    """Whether the class folder holds its images in their full size."""
    folder = out / source.classes[source.labels[first]]
    try:
        with os.scandir(folder) as entries:
            there = {entry.name: entry.stat().st_size for entry in entries}
    except FileNotFoundError:
        return False
    wanted = {source.path(i).name: int(source.sizes[i]) for i in range(first, stop)}
    foreign = sorted(there.keys() - wanted.keys())
    if foreign:  # what is not complete is removed, but never somebody's files
        raise ValueError(f"{folder} holds other files ({foreign[0]}); name a new folder")
    return there == wanted
