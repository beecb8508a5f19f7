"""Making one shard: its samples read, made smaller if asked, written and summed up."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import mapped
from pipeline.header import read_header
from pipeline.resizing import Resizing, resized
from pipeline.samples import HEADERS, Sample, Source
from pipeline.tarring import END, member

_BUFFER = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One shard to make, with all that another process needs for it."""

    file: Path
    samples: tuple[Sample, ...]
    resizing: Resizing | None
    number: int
    """Of the shard in its split."""
    known: Made | None = None
    """What a finished index says of the shard."""


class Made(NamedTuple):
    """What is known of a shard."""

    bytes: int
    sha256: str
    columns: dict[str, np.ndarray]
    """`offsets`, `sizes` and those of HEADERS, [images in the shard]."""
    kept: list[str]
    """Images that cannot be decoded, packed as they are, each with its fault."""


class Stopped(Exception):
    """The work was given up elsewhere."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A file that counts each shard's finished samples, so that any process can tell how far the work is."""

    file: Path
    shards: int

    def create(self) -> None:
        """Begins at zero."""
        self.file.write_bytes(bytes(8 * (self.shards + 1)))

    def counts(self) -> np.ndarray:
        """int64 [shards + 1], shared; the last is not 0 once the work is to stop."""
        return np.memmap(self.file, np.int64, mode="r+")


def record_of(file: Path) -> Path:
    """Where it is kept what is known of the shard `file` while others are being made."""
    return file.with_suffix(".made")


def make(job: Job, *, tally: Tally) -> Made:
    """The shard of `job`; one that was made before is kept if its checksum still holds.

    The file appears whole or not at all; what is known of it is kept beside it, after it.

    Raises FileNotFoundError or ValueError for an image that cannot be read, OSError for a full disk.
    """
    counts = tally.counts()
    made = recall(job)
    if made is not None:
        counts[job.number] = len(job.samples)
        return made
    part = job.file.with_name(f".{job.file.name}.{secrets.token_hex(4)}.part")
    try:
        made = _write(part, job, counts=counts)
        part.replace(job.file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    about = {"bytes": made.bytes, "sha256": made.sha256, "kept": made.kept}
    mapped.write(record_of(job.file), about=about, arrays=made.columns)  # this syncs the folder too
    return made


def recall(job: Job) -> Made | None:
    """What is known of the shard of `job`; None where it was not made, or is no longer what was made."""
    made = job.known or read_record(job.file)
    if made is None or made.columns.keys() != {"offsets", "sizes", *HEADERS}:
        return None
    if len(made.columns["sizes"]) != len(job.samples):
        return None
    try:
        intact = job.file.stat().st_size == made.bytes and checksum(job.file) == made.sha256
    except FileNotFoundError:
        return None
    return made if intact else None


def read_record(file: Path) -> Made | None:
    """What was kept beside the shard `file`; None where nothing was."""
    try:
        about, columns = mapped.read(record_of(file))
    except (FileNotFoundError, ValueError):
        return None
    return Made(about["bytes"], about["sha256"], columns, about["kept"])


def checksum(file: Path) -> str:
    """Hex SHA-256 of a file."""
    digest, block = hashlib.sha256(), memoryview(bytearray(_BUFFER))
    with file.open("rb", buffering=0) as source:
        while count := source.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def _write(part: Path, job: Job, *, counts: np.ndarray) -> Made:
    digest, at, kept = hashlib.sha256(), 0, []
    rows = np.empty((len(job.samples), 2 + len(HEADERS)), np.int64)
    with part.open("xb", buffering=_BUFFER) as out, Source() as source:
        for row, sample in zip(rows, job.samples, strict=True):
            content, suffix, header, fault = packed(sample, source=source, resizing=job.resizing)
            if fault is not None:
                kept.append(f"{sample.key} ({fault})")
            image = member(f"{sample.key}{suffix}", content)
            label = member(f"{sample.key}.cls", b"%d" % sample.label)
            row[:] = (at + len(image[0]), len(content), *header)
            for piece in (*image, *label):
                out.write(piece)
                digest.update(piece)
                at += len(piece)
            counts[job.number] += 1
            if counts[-1]:
                raise Stopped
        out.write(END)
        digest.update(END)
        out.flush()
        os.fsync(out.fileno())
    names = ("offsets", "sizes", *HEADERS)
    columns = {name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(names)}
    return Made(at + len(END), digest.hexdigest(), columns, kept)


def packed(
    sample: Sample, *, source: Source, resizing: Resizing | None
) -> tuple[bytes, str, tuple[int, ...], str | None]:
    """What is packed of a sample: bytes, suffix and header, and the fault of one that cannot be decoded."""
    content = source.read(sample)
    smaller, fault = None, None
    if resizing is not None:
        try:
            smaller = resized(content, resizing=resizing)
        except Exception as error:  # a damaged file raises many kinds
            fault = str(error)
    if smaller is not None:
        return smaller, ".jpg", _header(smaller), None
    header = sample.header or _header(content)
    if not header[0]:
        fault = fault or "no readable JPEG or PNG"
    return content, sample.suffix, header, fault


def _header(content: bytes) -> tuple[int, ...]:
    """The values of HEADERS, 0 where there is no readable header."""
    fd = os.memfd_create("image")  # a file for the one reader of headers, so that there is no second
    try:
        os.pwrite(fd, content, 0)
        header = read_header(f"/proc/self/fd/{fd}")
    except ValueError:
        return (0,) * len(HEADERS)
    finally:
        os.close(fd)
    return tuple(getattr(header, name) for name, _ in HEADERS.values())
