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

_TAIL = 64  # bytes: the mark is nearly always the last thing in a file
_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # JPEG, ITU-T T.81, table B.1: SOS, EOI
_PNG = b"\x89PNG"
_IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"  # PNG, https://www.w3.org/TR/png-3/, 11.2.5: no bytes and their CRC


def find_fault(encoded: np.ndarray, *, size: int, height: int, width: int) -> str | None:
    """What is wrong with an image's bytes, uint8 [N], or None.

    `size` in bytes, `height` and `width` in pixels are those of the index, 0 x 0 of a file that had no header
    then. Damage between head and end mark does not show here.
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
    else:
        whole = _ends_after_scan(encoded[-_TAIL:].tobytes()) or _ends_after_scan(encoded.tobytes())
    return None if whole else "has no end mark: it is cut off"


def _ends_after_scan(part: bytes) -> bool:
    """Whether an end mark stands after the last start of a scan in a JPEG's last bytes."""
    end = part.rfind(_END)
    return end >= 0 and part.find(_SCAN, end) < 0
