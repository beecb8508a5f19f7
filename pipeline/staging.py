"""Copies a packed data set to a machine's own disk, once, whoever else wants it there at the same time."""

import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline import mapped
from pipeline.cache import lock
from pipeline.shards import INDEX, PLAN, is_packed

_STREAMS = 8  # copies at a time: network file systems give one stream a part of what they have
_SPARE = 1 << 30  # bytes that stay free for whoever else uses the disk
_PART = ".part"


class NotStaged(Exception):
    """The data stays where it is; the message says why, for a line of warning."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file to copy: where it lies, where it goes, and its bytes when it was packed."""

    source: Path
    copy: Path
    bytes: int

    @property
    def there(self) -> bool:
        """Whether the copy is there, which it is as a whole or not at all."""
        return self.copy.is_file() and self.copy.stat().st_size == self.bytes


def stage(data: Path, disk: Path, *, say: Callable[[str], None] = print) -> Path:
    """Returns where on `disk` a copy of the packed set `data` lies, after making what of it is missing.

    The copy is in a folder named by user and content, so it serves the same user's later starts and other
    jobs, and no other content is taken for it. Of several processes that stage it one copies and the others
    wait.

    Raises NotStaged where `data` is not packed, does not fit, or cannot be copied.
    """
    data = Path(os.path.abspath(data.expanduser()))  # noqa: PTH100  # links stay as the user wrote them
    try:
        splits = _splits(data)
        home = disk / f"rexnet-{os.getuid()}-{_key(splits)}"
        copy = home / data.name
        items, indexes = _items(splits, data=data, copy=copy)
        _own(home)
        waiting = f"waiting for another process that copies {data} to {home}"
        with lock(home / "lock", say=say, waiting=waiting):
            _fill(home, [*items, *indexes], last=indexes, say=say, name=f"{data} to {copy}")
    except (OSError, ValueError) as fault:
        raise NotStaged(f"{data} is not copied to {disk}: {fault}") from fault
    return copy


def _splits(data: Path) -> list[Path]:
    """The packed splits of `data`, which may be one itself. ValueError where there are others."""
    if not data.is_dir():
        raise ValueError("there is no such folder")
    if is_packed(data):
        return [data]
    splits = [data / name for name in ("train", "val") if (data / name).is_dir()]
    if not splits or not all(is_packed(split) for split in splits):
        raise ValueError(
            "it is not packed, and millions of files are not copied one by one. "
            f"Pack it first: python launch/pack.py {data} {data}-packed"
        )
    return splits


def _key(splits: Sequence[Path]) -> str:
    """Names the content: what each split's index says of its shards, their SHA-256 among it."""
    about = [[split.name, mapped.read(split / INDEX)[0]] for split in splits]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _items(splits: Sequence[Path], *, data: Path, copy: Path) -> tuple[list[Item], list[Item]]:
    """The shards, and what marks a split as whole."""
    shards, indexes = [], []
    for split in splits:
        into = copy / split.relative_to(data)
        for shard in mapped.read(split / INDEX)[0]["shards"]:
            shards.append(Item(split / shard["name"], into / shard["name"], shard["bytes"]))
        for name in (PLAN, INDEX):
            if (split / name).is_file():
                indexes.append(Item(split / name, into / name, (split / name).stat().st_size))
    return shards, indexes


def _own(home: Path) -> None:
    """Makes the folder for this user alone; what somebody else has put there is not trusted."""
    home.mkdir(parents=True, exist_ok=True)
    about = home.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise ValueError(f"{home} belongs to another user; remove it, or name another folder in STAGE")
    home.chmod(0o700)


def _fill(
    home: Path, items: Sequence[Item], *, last: Sequence[Item], say: Callable[[str], None], name: str
) -> None:
    """Copies what is missing, `last` after all else."""
    for part in home.rglob(f"*{_PART}"):  # of a process that has died: we hold the lock
        part.unlink()
    missing = [item for item in items if not item.there]
    if not missing:
        say(f"{name}: already there, {_size(sum(item.bytes for item in items))}")
        return
    for item in missing:
        item.copy.parent.mkdir(parents=True, exist_ok=True)
        item.copy.unlink(missing_ok=True)
    wanted, free = sum(item.bytes for item in missing), shutil.disk_usage(home).free
    if wanted + _SPARE > free:
        raise ValueError(
            f"it takes {_size(wanted)}, and {_size(free)} are free there, of which {_size(_SPARE)} stay free"
        )
    began = time.monotonic()
    for group in ([item for item in missing if item not in last], [item for item in missing if item in last]):
        with ThreadPoolExecutor(_STREAMS) as pool:
            for copied in [pool.submit(_copy, item) for item in group]:
                copied.result()
    seconds = time.monotonic() - began
    say(f"{name}: {_size(wanted)} in {seconds:.1f} s, {wanted / seconds / 1e9:.2f} GB/s")


def _copy(item: Item) -> None:
    part = item.copy.with_name(f"{item.copy.name}.{os.getpid()}{_PART}")
    shutil.copyfile(item.source, part)
    if part.stat().st_size != item.bytes:
        part.unlink()
        raise ValueError(
            f"{item.source} has not the {item.bytes} bytes that it had when it was packed, or was cut off on "
            "the way; launch/pack.py mends it"
        )
    part.replace(item.copy)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count / 1e6:.2f} MB"
