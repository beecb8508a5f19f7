"""The head of an image file: what it says about itself, without decoding it.

Sources: ITU-T T.81 (JPEG), annex B; PNG specification, https://www.w3.org/TR/png-3/, 5.2 and 11.2.1.
"""

import os
import stat
from typing import NamedTuple

_WINDOW = 16 * 1024
"""Bytes per read: nearly every JPEG names its size here; what lies later is read where it lies."""

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # C4, C8, CC: tables and an extension, no frames
_BARE = frozenset([0x00, 0x01, *range(0xD0, 0xD9)])  # markers without a length: stray FF00, TEM, RST0-7, SOI


class Header(NamedTuple):
    """Height and width in pixels as stored (no EXIF rotation), size in bytes."""

    height: int
    width: int
    size: int


def read_header(path: str) -> Header:
    """Read the header of the JPEG or PNG at `path`; the content decides which, not the suffix.

    Raises ValueError with the fault alone, without the path: the caller names the file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang a scan
    except FileNotFoundError:
        raise ValueError("a link to nothing" if os.path.islink(path) else "gone") from None  # noqa: PTH114
    except OSError as fault:
        raise ValueError(str(fault.strerror)) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        head = os.pread(fd, _WINDOW, 0)
        if head[:3] == b"\xff\xd8\xff":
            height, width = _jpeg(fd, head)
        elif head[:8] == _PNG:
            height, width = _png(head)
        elif not head:
            raise ValueError("empty")
        else:
            raise ValueError(f"neither JPEG nor PNG, begins with {head[:8]!r}")
    except OSError as fault:
        raise ValueError(str(fault.strerror)) from None
    finally:
        os.close(fd)
    if not (height and width):
        raise ValueError(f"its header says {height} x {width} pixels")
    return Header(height, width, status.st_size)


def _png(head: bytes) -> tuple[int, int]:
    if len(head) < 33 or head[12:16] != b"IHDR":
        raise ValueError("a PNG cut off in its header")
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if max(width, height) >= 2**31:
        raise ValueError(f"its header says {height} x {width} pixels")
    return height, width


def _jpeg(fd: int, window: bytes) -> tuple[int, int]:
    start, at = 0, 2  # where the window begins in the file, where the next marker lies in it
    while True:
        if at + 9 > len(window):  # a frame header's size lies in the 9 bytes from its marker on
            start += at
            window, at = os.pread(fd, _WINDOW, start), 0
        if len(window) - at < 2:
            raise ValueError("a JPEG cut off before its frame header")
        if window[at] != 0xFF:  # stray bytes between segments: decoders skip them
            found = window.find(b"\xff", at)
            at = len(window) if found < 0 else found
            continue
        marker = window[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in (0xD9, 0xDA):
            raise ValueError("a JPEG without a frame header")
        elif len(window) - at < (9 if marker in _FRAMES else 4):
            raise ValueError("a JPEG cut off before its frame header")
        elif marker in _FRAMES:
            return window[at + 5] << 8 | window[at + 6], window[at + 7] << 8 | window[at + 8]
        else:
            length = window[at + 2] << 8 | window[at + 3]
            if length < 2:
                raise ValueError(f"a JPEG with a broken segment at byte {start + at}")
            at += 2 + length
