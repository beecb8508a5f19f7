"""The head of an image file: what it says about itself, without decoding it.

Sources: ITU-T T.81 (JPEG), annex B; PNG specification, https://www.w3.org/TR/png-3/, 5.2, 11.2.1 and
11.3.4.5; EXIF 2.32, 4.7.2 (where a JPEG holds it).
"""

import os
import stat
import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pipeline import exif

Read = Callable[[int, int], bytes]
"""(count, start) -> that many bytes from there on, fewer at the end."""

FORMATS = ("JPEG", "PNG")
"""What an image can be; a header holds the position here."""

_WINDOW = 16 * 1024
"""Bytes per read: nearly every JPEG names its size here; what lies later is read where it lies."""

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # C4, C8, CC: tables and an extension, no frames
_LONGEST = 1 << 16  # bytes of EXIF that are looked at
_BARE = frozenset([0x00, 0x01, *range(0xD0, 0xD9)])  # markers without a length: stray FF00, TEM, RST0-7, SOI


_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""By colour type; a palette (3) holds RGB."""


class Header(NamedTuple):
    """What an image file says about itself."""

    height: int
    """Pixels as stored, without EXIF rotation."""
    width: int
    """Likewise."""
    size: int
    """Bytes of the file."""
    channels: int
    """1 (gray), 2 (gray and alpha), 3 (colour, also by palette) or 4 (colour and alpha, or CMYK)."""
    format: int
    """Position in FORMATS."""
    orientation: int
    """EXIF tag, 1 to 8; 0 where there is none."""


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
        return parse_header(partial(os.pread, fd), size=status.st_size)
    except OSError as fault:
        raise ValueError(str(fault.strerror)) from None
    finally:
        os.close(fd)


def parse_header(read: Read, *, size: int) -> Header:
    """The header of an image of `size` bytes, wherever they lie. Raises ValueError with the fault alone."""
    head = read(_WINDOW, 0)
    if head[:3] == b"\xff\xd8\xff":
        kind, (height, width, channels, turned) = "JPEG", _jpeg(read, head)
    elif head[:8] == _PNG:
        kind, (height, width, channels, turned) = "PNG", _png(read, head)
    elif not head:
        raise ValueError("empty")
    else:
        raise ValueError(f"neither JPEG nor PNG, begins with {head[:8]!r}")
    if not (height and width):
        raise ValueError(f"its header says {height} x {width} pixels")
    return Header(height, width, size, channels, FORMATS.index(kind), turned)


def _png(read: Read, head: bytes) -> tuple[int, int, int, int]:
    if len(head) < 33 or head[12:16] != b"IHDR":
        raise ValueError("a PNG cut off in its header")
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if max(width, height) >= 2**31:
        raise ValueError(f"its header says {height} x {width} pixels")
    if head[24] not in (1, 2, 4, 8, 16):
        raise ValueError(f"a PNG of {head[24]} bits to a sample")
    if head[25] not in _PNG_CHANNELS:
        raise ValueError(f"a PNG of the unknown colour type {head[25]}")
    return height, width, _PNG_CHANNELS[head[25]], _png_orientation(read, head)


def _png_orientation(read: Read, head: bytes) -> int:
    """Of an eXIf chunk before the image data, where it must lie."""
    at = 33  # the chunk after IHDR
    while True:
        known = head[at : at + 8] if at + 8 <= len(head) else read(8, at)
        length, kind = int.from_bytes(known[:4], "big"), known[4:]
        if kind == b"eXIf":
            return exif.orientation(read(min(length, _LONGEST), at + 8))
        if len(kind) < 4 or kind in (b"IDAT", b"IEND"):
            return 0
        at += 12 + length


def _jpeg(read: Read, window: bytes) -> tuple[int, int, int, int]:
    start, at = 0, 2  # where the window begins in the file, where the next marker lies in it
    turned = 0
    while True:
        if at + 10 > len(window):  # a frame header's numbers lie in the 10 bytes from its marker on
            start += at
            window, at = read(_WINDOW, start), 0
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
        elif len(window) - at < (10 if marker in _FRAMES else 4):
            raise ValueError("a JPEG cut off before its frame header")
        elif marker in _FRAMES:
            height, width, channels = struct.unpack_from(">HHB", window, at + 5)
            if channels not in (1, 3, 4):
                raise ValueError(f"a JPEG of {channels} channels")
            return height, width, channels, turned
        else:
            length = window[at + 2] << 8 | window[at + 3]
            if length < 2:
                raise ValueError(f"a JPEG with a broken segment at byte {start + at}")
            if marker == 0xE1 and window[at + 4 : at + 10] == b"Exif\0\0" and length > 8 and not turned:
                inside = window[at + 10 : at + 2 + length]
                whole = len(inside) == length - 8
                turned = exif.orientation(inside if whole else read(length - 8, start + at + 10))
            at += 2 + length
