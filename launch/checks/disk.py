"""Whether a run's folder and the cache can be written, have room, and know hard links. No torch."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launch.checks.finding import Finding
from pipeline.cache import cache_path
from pipeline.summary import as_bytes

if TYPE_CHECKING:
    from launch.engine.distributed import World

LOG = 200 * 10**6
"""Bytes allowed for log, metrics, predictions and W&B's files of a run."""

INDEX_PER_IMAGE = 100
"""Bytes of an index per image: its path, and 27 bytes of numbers."""

_PREFIX = ".rexnet-doctor-"
_PATIENCE = 3.0  # seconds until a network file system shows a new file elsewhere
_CHECKPOINTS = 3  # the newest, the one before, and the one being written


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A folder that is to be written into, which need not be there yet."""

    folder: Path
    above: Path
    """The folder, or the nearest one above it that exists."""
    needed: int
    """Bytes."""
    free: int
    """Bytes that this user may fill, quotas aside."""
    fault: str | None = None
    """Why it cannot be written."""
    links: bool = True
    """Whether a file can have two names, which claims on a folder need."""


def gather(folder: Path, *, needed: int) -> Disk:
    """Looks, and writes a small file, which is removed again."""
    folder = folder.expanduser().absolute()
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        return Disk(folder=folder, above=above, needed=needed, free=0, fault=f"{above} is a file")
    free, links = shutil.disk_usage(above).free, True
    try:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=above)
    except OSError as error:
        return Disk(folder=folder, above=above, needed=needed, free=free, fault=error.strerror)
    os.close(descriptor)
    try:
        os.link(name, f"{name}.link")
    except OSError:
        links = False
    finally:
        for each in (name, f"{name}.link"):
            with suppress(FileNotFoundError):
                Path(each).unlink()
    return Disk(folder=folder, above=above, needed=needed, free=free, links=links)


def run_bytes(*, parameters: int, buffers: int) -> int:
    """Returns what a run's checkpoints and weights take, with the log.

    A checkpoint holds weights, their average and the optimizer's momentum, and two sets of statistics, in
    float32; the result is one set of weights.
    """
    checkpoint = 4 * (3 * parameters + 2 * buffers)
    return _CHECKPOINTS * checkpoint + 4 * (parameters + buffers) + LOG


def seen_by_all(world: World, folder: Path | None) -> list[bool]:
    """Returns for each rank whether it sees a file that rank 0 makes in `folder`; all ranks call this."""
    import torch.distributed as dist

    made = None
    if world.place.first and folder is not None:
        with suppress(OSError):
            descriptor, made = tempfile.mkstemp(prefix=_PREFIX, dir=folder)
            os.close(descriptor)
    names = [made] * world.place.world_size
    dist.all_gather_object(names, made, group=world.host_group)
    sees, deadline = names[0] is None, time.monotonic() + _PATIENCE
    while not sees and time.monotonic() < deadline:
        sees = Path(str(names[0])).exists() or bool(time.sleep(0.1))
    everybody = [sees] * world.place.world_size
    dist.all_gather_object(everybody, sees, group=world.host_group)
    if made is not None:
        Path(made).unlink(missing_ok=True)
    return everybody


def judge_run(disk: Disk) -> Finding:
    """Returns what is to be said of a run's folder."""
    told = f"{disk.folder}: {as_bytes(disk.free)} free, a run takes {as_bytes(disk.needed)}"
    if disk.fault is not None:
        return Finding("error", f"{disk.folder} cannot be written: {disk.fault}", "--out DIR")
    if disk.free < disk.needed:
        return Finding("error", f"{told}: make room, or name another folder", "--out DIR")
    if not disk.links:
        return Finding(
            "error",
            f"{disk.above} knows no hard links, with which a run keeps a second writer out of its folder; "
            "name one on another file system",
            "--out DIR",
        )
    return Finding("ok", f"{told}; writable, knows hard links")


def judge_cache(disk: Disk, *, indexed: bool) -> Finding:
    """Returns what is to be said of the cache, which nothing needs once the data set is indexed."""
    told = f"{disk.folder}: {as_bytes(disk.free)} free, an index takes {as_bytes(disk.needed)}"
    remedy = "export REXNET_CACHE=DIR"
    if disk.fault is not None:
        text = f"{disk.folder} cannot be written: {disk.fault}"
        if indexed:
            return Finding("ok", f"{text}; not needed, as the data set is indexed")
        return Finding("error", text, remedy)
    if disk.free < disk.needed and not indexed:
        return Finding("error", f"{told}: make room, or name another folder", remedy)
    return Finding("ok", told)


def gather_cache(*, images: int) -> Disk:
    """Looks at the folder of indexes."""
    return gather(cache_path(), needed=INDEX_PER_IMAGE * images)
