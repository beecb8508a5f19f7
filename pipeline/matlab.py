"""Reads what ImageNet's meta.mat needs of MATLAB's level 5 MAT-files: arrays of structs of numbers and texts.

Source: MAT-File Format, The MathWorks, chapter 1 "Level 5 MAT-File Format",
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

Value: TypeAlias = "float | str | list[dict[str, Value]] | None"
"""A number, a text, the elements of an array of structs, or None for all else."""

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)


def read_mat(content: bytes) -> dict[str, Value]:
    """The variables of a little-endian level 5 MAT-file by name; of arrays of numbers, only those of one.

    Raises ValueError for anything else.
    """
    if len(content) < 128 or content[124:128] != b"\x00\x01IM":
        raise ValueError("no MAT-file of level 5")
    variables = {}
    try:
        for kind, data in _elements(content[128:]):
            if kind == _COMPRESSED:
                ((kind, data),) = _elements(zlib.decompress(data))
            if kind == _MATRIX:
                name, value = _matrix(data)
                variables[name] = value
    except (struct.error, zlib.error, IndexError, UnicodeDecodeError) as fault:
        raise ValueError(f"a damaged MAT-file ({fault})") from None
    return variables


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each data element."""
    at = 0
    while at + 8 <= len(data):
        first, size = struct.unpack_from("<II", data, at)
        if first >> 16:  # the small format: type and size in the first four bytes, content in the next
            yield first & 0xFFFF, data[at + 4 : at + 4 + (first >> 16)]
            at += 8
            continue
        if at + 8 + size > len(data):
            raise ValueError("a damaged MAT-file (cut off)")
        yield first, data[at + 8 : at + 8 + size]
        at += 8 + (size if first == _COMPRESSED else -(-size // 8) * 8)


def _matrix(data: bytes) -> tuple[str, Value]:
    """Name and value of an array."""
    if not data:
        return "", None
    parts = list(_elements(data))
    kind = parts[0][1][0]
    shape = struct.unpack(f"<{len(parts[1][1]) // 4}i", parts[1][1])
    name, count, rest = parts[2][1].decode("latin-1"), math.prod(shape), parts[3:]
    if kind == _STRUCT:
        return name, _structs(rest, count=count)
    if kind == _CHAR and min(shape) <= 1:
        return name, rest[0][1].decode(_TEXTS[rest[0][0]]) if rest and rest[0][0] in _TEXTS else ""
    if kind in _NUMERIC and count == 1 and rest[0][0] in _NUMBERS:
        return name, float(np.frombuffer(rest[0][1], "<" + _NUMBERS[rest[0][0]])[0])
    return name, None


def _structs(parts: list[tuple[int, bytes]], *, count: int) -> list[dict[str, Value]]:
    length = struct.unpack("<i", parts[0][1])[0]
    names = parts[1][1]
    fields = [
        names[at : at + length].split(b"\0")[0].decode("latin-1") for at in range(0, len(names), length)
    ]
    values = [_matrix(data)[1] for kind, data in parts[2:] if kind == _MATRIX]
    if len(values) != count * len(fields):
        raise ValueError(
            f"a damaged MAT-file ({len(values)} values of {count} structs of {len(fields)} fields)"
        )
    return [
        dict(zip(fields, values[at : at + len(fields)], strict=True))
        for at in range(0, len(values), len(fields) or 1)
    ]
