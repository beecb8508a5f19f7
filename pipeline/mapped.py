"""A file of named arrays that is mapped, not read: many processes share its pages.

Layout: a magic line; the length of a JSON text (8 bytes, little-endian); the text; the arrays, each at a
multiple of 64 bytes. The text holds the caller's `about` and where each array lies.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"rexnet arrays 1\n"
_ALIGN = 64


def write(file: Path, *, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `file` atomically: whoever opens it sees the old content, the new one or none, never a part."""
    table, at = {}, 0
    for name, array in arrays.items():
        table[name] = {"dtype": array.dtype.str, "shape": array.shape, "at": at}
        at += -(-array.nbytes // _ALIGN) * _ALIGN
    text = json.dumps({"about": about, "arrays": table, "bytes": at}).encode("ascii")
    text += b" " * (-(len(_MAGIC) + 8 + len(text)) % _ALIGN)
    part = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as out:
            out.write(_MAGIC + len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                out.write(np.ascontiguousarray(array).data)
                out.write(bytes(-array.nbytes % _ALIGN))
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)


def read(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """`about` and the arrays, read-only views of one shared map.

    Raises FileNotFoundError where there is no file, ValueError where it is none of ours or is cut off.
    """
    with file.open("rb") as source:
        head = source.read(len(_MAGIC) + 8)
        length = int.from_bytes(head[len(_MAGIC) :], "little")
        if head[: len(_MAGIC)] != _MAGIC or length > os.fstat(source.fileno()).st_size:
            raise ValueError(f"{file} is not a file of arrays of this version")
        try:
            layout = json.loads(source.read(length))
        except ValueError:
            raise ValueError(f"{file} is damaged") from None
        start = len(head) + length
        if os.fstat(source.fileno()).st_size != start + layout["bytes"]:
            raise ValueError(f"{file} is cut off")
        whole = np.memmap(source, np.uint8, mode="r")
    arrays = {}
    for name, entry in layout["arrays"].items():
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        first = start + entry["at"]
        view = whole[first : first + dtype.itemsize * int(np.prod(shape))]
        arrays[name] = np.asarray(view.view(dtype).reshape(shape))
    return layout["about"], arrays


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
