"""What is packed: one image after the other, from files of their own or out of archives."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.index import Index
from pipeline.storage import read_file, read_range

HEADERS = {
    "heights": ("height", np.int32),
    "widths": ("width", np.int32),
    "channels": ("channels", np.uint8),
    "formats": ("format", np.uint8),
    "orientations": ("orientation", np.uint8),
}
"""Array of an index: field of a header, and the array's type."""


class Sample(NamedTuple):
    """One image to pack."""

    file: str
    offset: int | None
    """Where in `file` it begins; None where it is the whole file."""
    size: int
    key: str
    """Its members' name up to the suffix."""
    suffix: str
    """Of the member that holds the bytes as they are, with the dot."""
    label: int
    header: tuple[int, ...] | None
    """The values of HEADERS, where they are known; 0 of a file without a readable header."""


class Source:
    """Reads the bytes of samples; archives stay open until the end of a `with`."""

    def __init__(self) -> None:
        self.opened: dict[str, BufferedReader] = {}

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        while self.opened:
            self.opened.popitem()[1].close()

    def read(self, sample: Sample) -> bytes:
        """Raises FileNotFoundError or ValueError for what cannot be read; an empty file need not be there."""
        if not sample.size:
            return b""  # a link to nothing counts as empty
        if sample.offset is None:
            return read_file(sample.file, size=sample.size).tobytes()
        try:
            if sample.file not in self.opened:
                self.opened[sample.file] = Path(sample.file).open("rb")  # noqa: SIM115  # closed in __exit__
            fd = self.opened[sample.file].fileno()
            return read_range(fd, offset=sample.offset, size=sample.size).tobytes()
        except EOFError as fault:
            raise ValueError(f"the archive {sample.file} {fault} of {sample.key}") from None


def sample_of(source: Index, i: int, *, key: str = "") -> Sample:
    """Image i of `source`, and where to read it."""
    path = source.path(i)
    file, offset = (path, None) if source.shards is None else source.shards.place(i)
    columns = [getattr(source, name) for name in HEADERS]
    header = None if any(each is None for each in columns) else tuple(int(each[i]) for each in columns)
    return Sample(
        file=str(file),
        offset=offset,
        size=int(source.sizes[i]),
        key=key or str(path),
        suffix=path.suffix.lower(),
        label=int(source.labels[i]),
        header=header,
    )
