"""Reading packed images: tar files that stay open, and an index that says where in them each image lies."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from pipeline import mapped
from pipeline.tarring import BLOCK, size_in

FORMAT = 1
"""Goes up when a packed split needs to be packed again."""

INDEX = "shards.index"
"""Marks a packed split: written last, when every shard is in place."""

PLAN = "packing.json"
"""What is being packed; it alone marks a split that is not finished."""


class DamagedShard(ValueError):
    """A shard is missing, cut off or has changed: no fault of one image, and nothing to go on without."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shards:
    """Tar files that hold N images; each process opens one when it first reads from it, and keeps it open."""

    files: tuple[Path, ...]
    bytes: tuple[int, ...]
    """Size of each file."""
    first: np.ndarray
    """int64 [files]: the first image in each file; the images are in order."""
    offsets: np.ndarray
    """int64 [N]: where in its file each image begins."""
    remedy: str
    """What to type where a file is missing or has changed."""
    opened: dict[int, int] = field(default_factory=dict)
    """File number to descriptor."""
    lock: Lock = field(default_factory=Lock)

    def place(self, i: int) -> tuple[Path, int]:
        """The file that holds image i, and where in it the image begins."""
        return self.files[self._file(i)], int(self.offsets[i])

    def read(self, i: int, *, size: int) -> np.ndarray:
        """The bytes of image i, uint8 [size], by one positioned read.

        Raises DamagedShard for a shard that is gone or has changed, ValueError for one that cannot be read.
        """
        number = self._file(i)
        file, offset = self.files[number], int(self.offsets[i])
        head, image = bytearray(BLOCK), np.empty(size, np.uint8)
        try:
            fd = self.opened.get(number)
            count = os.preadv(self._open(number) if fd is None else fd, [head, image.data], offset - BLOCK)
            while 0 < count < BLOCK + size:
                more = self._rest(number, head, image, done=count, offset=offset)
                count = count + more if more else 0
        except FileNotFoundError:
            raise self._missing(file) from None
        except OSError as fault:
            self.opened.pop(number, None)  # open it anew next time; not closed, since others may be reading
            raise self._unreadable(file, fault) from fault
        if not count:
            raise self._changed(file, f"ends before byte {offset + size}")
        if size_in(head) != size:
            raise self._changed(file, f"holds no image of {size} bytes at byte {offset}")
        return image

    def check(self) -> None:
        """Raises DamagedShard unless every file is there in its full size."""
        for number, file in enumerate(self.files):
            try:
                self._check_size(number, file.stat().st_size)
            except FileNotFoundError:
                raise self._missing(file) from None

    def close(self) -> None:
        """Closes the files; a later read opens them again."""
        with self.lock:
            while self.opened:
                os.close(self.opened.popitem()[1])

    def _file(self, i: int) -> int:
        return int(np.searchsorted(self.first, i, side="right")) - 1

    def _open(self, number: int) -> int:
        with self.lock:
            if number not in self.opened:
                fd = os.open(self.files[number], os.O_RDONLY | os.O_CLOEXEC)
                try:
                    self._check_size(number, os.fstat(fd).st_size)
                except BaseException:
                    os.close(fd)
                    raise
                self.opened[number] = fd
            return self.opened[number]

    def _rest(self, number: int, head: bytearray, image: np.ndarray, *, done: int, offset: int) -> int:
        """Reads on where the system gave less than was asked for."""
        parts = [image.data[done - BLOCK :]] if done >= BLOCK else [memoryview(head)[done:], image.data]
        return os.preadv(self._open(number), parts, offset - BLOCK + done)

    def _check_size(self, number: int, size: int) -> None:
        wanted = self.bytes[number]
        if size != wanted:
            raise self._changed(self.files[number], f"has {size} bytes, {wanted} when it was packed")

    def _missing(self, file: Path) -> DamagedShard:
        return DamagedShard(f"the shard {file} is missing; {self.remedy}")

    def _changed(self, file: Path, fault: str) -> DamagedShard:
        return DamagedShard(f"the shard {file} is cut off or has changed: it {fault}; {self.remedy}")

    def _unreadable(self, file: Path, fault: OSError) -> ValueError:
        if fault.errno == errno.EMFILE:
            hint = f"each process keeps its {len(self.files)} shards open: ulimit -n {len(self.files) + 1024}"
            return ValueError(f"the shard {file} cannot be opened: {fault.strerror}; {hint}")
        return ValueError(f"the shard {file} cannot be read: {fault.strerror}")


def is_packed(folder: Path) -> bool:
    """Whether `folder` is a packed split.

    Raises ValueError where packing it has begun but not ended.
    """
    if (folder / INDEX).is_file():
        return True
    if (folder / PLAN).is_file():
        raise ValueError(
            f"packing {folder} has not ended; the same command of launch/pack.py goes on with it"
        )
    return False


def packed_classes(folder: Path) -> list[str]:
    """The classes of a packed split."""
    return mapped.read(folder / INDEX)[0]["classes"]


def read_packed(folder: Path) -> dict[str, Any]:
    """The fields of a packed split's Index.

    Raises DamagedShard for a shard that is missing or cut off, ValueError for a damaged index.
    """
    try:
        about, arrays = mapped.read(folder / INDEX)
    except ValueError as fault:
        raise ValueError(
            f"{fault}; remove it and pack again: launch/pack.py keeps the intact shards"
        ) from None
    if about.get("format") != FORMAT:
        raise ValueError(f"{folder} was packed by another version of this program; pack it into a new folder")
    shards = Shards(
        files=tuple(folder / shard["name"] for shard in about["shards"]),
        bytes=tuple(shard["bytes"] for shard in about["shards"]),
        first=firsts([shard["images"] for shard in about["shards"]]),
        offsets=arrays.pop("offsets"),
        remedy=f"this makes it again: {about['command']}",
    )
    shards.check()
    return {
        "root": folder,
        "classes": tuple(about["classes"]),
        "identity": about["identity"],
        "ignored": about["ignored"],
        "ignored_kinds": about["ignored_kinds"],
        "file": folder / INDEX,
        "shards": shards,
        **arrays,
    }


def firsts(counts: Sequence[int]) -> np.ndarray:
    """The first image of each shard, from how many each holds: int64 [shards]."""
    return np.cumsum([0, *counts], dtype=np.int64)[:-1]
