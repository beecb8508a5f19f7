"""The orientation tag of EXIF, found without Pillow: how a viewer would turn an image.

Source: CIPA DC-008 (EXIF 2.32), 4.6.2 (structure, from TIFF 6.0) and 4.6.4 (tag 0x0112).
"""

from typing import Literal

_TAG, _SHORT = 0x0112, 3
_ENTRY = 12  # bytes of one directory entry
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}


def orientation(block: bytes) -> int:
    """1 to 8 as tagged, 1 being upright; 0 where the TIFF structure `block` has no tag or is damaged."""
    order = _ORDERS.get(block[:4])
    if order is None:
        return 0

    def number(at: int, length: int) -> int:
        return int.from_bytes(block[at : at + length], order)

    first = number(4, 4)
    entries = min(number(first, 2), (len(block) - first - 2) // _ENTRY)
    for at in range(first + 2, first + 2 + _ENTRY * entries, _ENTRY):
        if number(at, 2) == _TAG:
            value = number(at + 8, 2)
            return value if number(at + 2, 2) == _SHORT and 1 <= value <= 8 else 0
    return 0
