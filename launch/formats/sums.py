"""Checksums of a folder's files, in the form that `sha256sum -c SHA256SUMS` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.shard import checksum

NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([\w.-]+)")


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Writes the SHA-256 of files in `folder`."""
    lines = [f"{checksum(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / NAME).write_text("".join(lines))


def is_untouched(folder: Path, *, but: str = "") -> bool:
    """Whether a folder holds exactly the files that its checksums name, as they were written.

    Args:
        but: name of what does not count.
    """
    sums = folder / NAME
    if not sums.is_file():
        return False
    found = [_LINE.fullmatch(line) for line in sums.read_text(errors="replace").splitlines()]
    if not all(found):
        return False
    named = {match[2]: match[1] for match in found if match}
    files = {path.name for path in folder.iterdir()} - {but}
    return files == {*named, NAME} and all(checksum(folder / name) == sha for name, sha in named.items())
