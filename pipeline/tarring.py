"""Tar members: how a sample is written for WebDataset's readers, and which files an archive holds.

Layout: POSIX.1-1988 ustar, https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html. WebDataset's
convention: consecutive members whose names are alike up to the first dot of the last part are one sample
(https://github.com/webdataset/webdataset, tariterators.py, `base_plus_ext` and `group_by_keys`).
"""

import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote_from_bytes

BLOCK = 512
END = bytes(2 * BLOCK)
"""Ends an archive."""


class Member(NamedTuple):
    """A regular file of an archive: what the archive calls it, where its bytes begin, how many they are."""

    name: str
    offset: int
    size: int


def member_keys(names: Iterable[bytes]) -> Iterator[str]:
    """WebDataset's keys of the relative paths `names`, sorted by class: without the suffix, in ASCII.

    A key's last part must have no dot, and no two may be alike: other bytes than letters, digits, `_`, `-`
    and space are written as %XX, and where paths differ in the suffix alone, the later get ~ and a number.
    """
    seen: dict[str, int] = {}
    before = b""
    for name in names:
        folder, _, last = name.rpartition(b"/")
        label = name.partition(b"/")[0]
        if label != before:
            seen.clear()
            before = label
        stem = last.rpartition(b".")[0] or last
        key = _plain(folder).replace("%2E", ".") + "/" + _plain(stem)
        if key.startswith("__"):
            key = "%5F" + key[1:]  # WebDataset leaves out what is called __NAME__
        count = seen[key] = seen.get(key, 0) + 1
        yield key if count == 1 else f"{key}~{count}"


def member(name: str, content: bytes) -> tuple[bytes, bytes]:
    """Header and padded content of one member; nothing in it depends on when or by whom it is written."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.GNU_FORMAT, "ascii"), content + bytes(-len(content) % BLOCK)


def members(fd: int, *, start: int, stop: int) -> Iterator[Member]:
    """The regular files of the archive that lies in bytes [start, stop) of `fd`.

    Raises ValueError for what is no archive, or is cut off; the caller names the file.
    """
    at = start
    while True:
        head = os.pread(fd, BLOCK, at) if at + BLOCK <= stop else b""
        if len(head) < BLOCK:
            raise ValueError(f"it is cut off at byte {at}")
        if not any(head):
            return
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise ValueError(f"byte {at} begins no member of a tar file") from None
        if at + BLOCK + info.size > stop:
            raise ValueError(f"it is cut off in {info.name}, at byte {stop}")
        if info.isreg():
            yield Member(info.name, at + BLOCK, info.size)
        at += BLOCK + -(-info.size // BLOCK) * BLOCK


def size_in(head: bytes | bytearray) -> int | None:
    """The size that a member's header gives, or None where this is no header."""
    digits = bytes(head)[124:136].rstrip(b" \0")
    return int(digits, 8) if digits and all(byte in b"01234567" for byte in digits) else None


def _plain(path: bytes) -> str:
    return quote_from_bytes(path, safe="/ ").replace(".", "%2E").replace("~", "%7E")
