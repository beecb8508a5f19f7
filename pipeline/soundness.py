"""Which files are bad, told from their bytes and the index alone.

So the answer is the same for every crop, rank and attempt. A decoder's is not: it takes an image that is cut
off without complaint as long as the window lies above the cut.
"""

import numpy as np

from pipeline.header import parse_header

MOST_PIXELS = 2**27
"""Of a whole image, 0.4 GB decoded; the largest of ImageNet has 62 million."""

LONGEST = 1000
"""Longer side over the shorter one."""

_HEAD = 16 * 1024  # bytes: nearly every first scan begins here
_NO_MARKERS = (0x00, 0xD9)  # before a scan: a stuffed byte, the end of the image
_TAIL = 64  # bytes: the mark is nearly always the last thing in a file
_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # JPEG, ITU-T T.81, table B.1: SOS, EOI
_PNG = b"\x89PNG"
_IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"  # PNG, https://www.w3.org/TR/png-3/, 11.2.5: no bytes and their CRC


def find_fault(encoded: np.ndarray, *, size: int, height: int, width: int) -> str | None:
    """What is wrong with an image's bytes, uint8 [N], or None.

    `size` in bytes, `height` and `width` in pixels are those of the index, 0 x 0 of a file that had no header
    then. Damage inside segments, chunks and scans does not show here.
    """
    if len(encoded) != size:
        return f"has {len(encoded)} bytes, {size} when it was indexed"
    try:
        header = parse_header(lambda count, at: encoded[at : at + count].tobytes(), size=size)
    except ValueError as fault:
        return f"is no intact image: {fault}"
    if not height:
        return "was no readable JPEG or PNG when it was indexed"
    if (header.height, header.width) != (height, width):
        return f"is {header.height} x {header.width} pixels, {height} x {width} when it was indexed"
    if height * width > MOST_PIXELS or max(height, width) > LONGEST * min(height, width):
        return f"is {height} x {width} pixels, which is absurd"
    if encoded[:4].tobytes() == _PNG:
        whole = _IEND in encoded[-_TAIL:].tobytes() or _IEND in encoded.tobytes()
        if whole and (broken := _break_before_end(encoded)) is not None:
            return f"is no intact image: no PNG chunk at byte {broken}"
    elif (broken := _break_before_scan(encoded)) is not None:
        return f"is no intact image: no JPEG marker at byte {broken}"
    else:
        whole = _ends_after_scan(encoded[-_TAIL:].tobytes()) or _ends_after_scan(encoded.tobytes())
    return None if whole else "has no end mark: it is cut off"


def _break_before_end(encoded: np.ndarray) -> int | None:
    """Where the chain of a PNG's chunks breaks before its end mark; None where it leads there.

    As in a JPEG: nvImageCodec finds no image in it.
    """
    at, first = 8, True
    while at + 12 <= len(encoded):
        head = encoded[at : at + 8].tobytes()
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if not kind.isalpha() or (first and (length, kind) != (13, b"IHDR")):
            return at
        if kind == b"IEND":
            return None
        at, first = at + 12 + length, False
    return at


def _break_before_scan(encoded: np.ndarray) -> int | None:
    """Where the chain of a JPEG's segments breaks before its first scan; None where it leads there.

    nvImageCodec then finds no image, and over that DALI 2.2 ends the process by SIGSEGV in a batch of more
    than four images to a thread. Damage that only decoding shows is an ordinary error.
    """
    head, at = encoded[:_HEAD].tobytes(), 2
    while True:
        if at + 4 > len(head) < len(encoded):
            head = encoded.tobytes()
        if at + 4 > len(head) or head[at] != 0xFF or head[at + 1] in _NO_MARKERS:
            return at
        marker = head[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = head[at + 2] << 8 | head[at + 3]
        if length < 2:
            return at
        if marker == 0xDA:
            return None
        at += 2 + length


def _ends_after_scan(part: bytes) -> bool:
    """Whether an end mark stands after the last start of a scan in a JPEG's last bytes."""
    end = part.rfind(_END)
    return end >= 0 and part.find(_SCAN, end) < 0
