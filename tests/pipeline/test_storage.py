"""Reading ahead: order, faults at their place, threads that end."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.storage import read_ahead, read_file


def files(folder: Path, count: int) -> list[Path]:
    """`count` files of growing size whose bytes tell them apart."""
    paths = [folder / f"{i}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i % 251]) * (i * 37 + 1))
    return paths


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read")]


@pytest.mark.parametrize("depth", [1, 3, 50])
@pytest.mark.parametrize("threads", [1, 4])
def test_batches_come_whole_and_in_order(tmp_path: Path, depth: int, threads: int) -> None:
    paths = files(tmp_path, 100)
    batches = [paths[:20], paths[20:21], [], paths[21:], paths[::-1]]
    got = list(read_ahead(iter(batches), depth=depth, threads=threads))
    assert [len(batch) for batch in got] == [len(batch) for batch in batches]
    for batch, arrays in zip(batches, got, strict=True):
        for path, array in zip(batch, arrays, strict=True):
            assert array.dtype == np.uint8 and array.ndim == 1 and array.flags.c_contiguous
            assert array.tobytes() == path.read_bytes()
    assert not readers()


def test_reads_depth_batches_ahead_and_no_more(tmp_path: Path) -> None:
    paths = files(tmp_path, 10)
    asked = []

    def batches() -> Iterator[Sequence[Path]]:
        for path in paths:
            asked.append(path)
            yield [path]

    ahead = read_ahead(batches(), depth=3, threads=2)
    assert not asked
    next(ahead)
    assert len(asked) == 4
    next(ahead)
    assert len(asked) == 5
    ahead.close()
    assert len(asked) == 5


def test_reads_batches_at_the_same_time() -> None:
    together = threading.Barrier(12, timeout=20)

    def read(number: int) -> np.ndarray:
        together.wait()
        return np.array([number], np.uint8)

    ahead = read_ahead(iter([[i] for i in range(12)]), depth=11, threads=12, read=read)
    assert [int(batch[0][0]) for batch in ahead] == list(range(12))


def test_a_missing_file_surfaces_at_its_batch(tmp_path: Path) -> None:
    paths = files(tmp_path, 40)
    paths[25].unlink()
    ahead = read_ahead((paths[i : i + 10] for i in range(0, 40, 10)), depth=3, threads=4)
    assert len(next(ahead)) == 10
    assert len(next(ahead)) == 10
    with pytest.raises(FileNotFoundError, match=r"^the image .*/25\.jpg is gone$"):
        next(ahead)
    assert not readers()


def test_a_fault_of_the_batches_surfaces_after_the_batches_before_it(tmp_path: Path) -> None:
    paths = files(tmp_path, 2)

    def batches() -> Iterator[Sequence[Path]]:
        yield paths[:1]
        yield paths[1:]
        raise RuntimeError("no more")

    ahead = read_ahead(batches(), depth=5, threads=2)
    assert len(next(ahead)) == 1
    assert len(next(ahead)) == 1
    with pytest.raises(RuntimeError, match=r"^no more$"):
        next(ahead)


def test_close_ends_the_threads_at_once() -> None:
    read = []

    def slow(number: int) -> np.ndarray:
        read.append(number)
        time.sleep(0.05)
        return np.zeros(1, np.uint8)

    ahead = read_ahead(([i] * 64 for i in range(100)), depth=20, threads=4, read=slow)
    next(ahead)
    began = time.monotonic()
    ahead.close()
    assert time.monotonic() - began < 3  # all that was asked for takes 17
    assert not readers()
    count = len(read)
    time.sleep(0.1)
    assert len(read) == count < 21 * 64


def test_an_unused_reader_starts_nothing() -> None:
    read_ahead(iter([["missing"]]), depth=1, threads=2).close()
    assert not readers()


@pytest.mark.parametrize(
    ("make", "size", "fault"),
    [
        (lambda path: path.write_bytes(b""), None, r"image.jpg is empty$"),
        (lambda path: path.mkdir(), None, r"image.jpg is not a regular file$"),
        (lambda path: os.mkfifo(path), None, r"image.jpg is not a regular file$"),
        (lambda path: path.symlink_to(path), None, r"image.jpg cannot be read: Too many levels"),
        (
            lambda path: path.write_bytes(b"12345"),
            6,
            r"image.jpg has 5 bytes, 6 when it was indexed; .*touch /",
        ),
        (lambda path: path.write_bytes(b"1234567"), 6, r"image.jpg has 7 bytes, 6 when it was indexed"),
    ],
)
def test_names_file_and_fault(tmp_path: Path, make, size: int | None, fault: str) -> None:
    path = tmp_path / "image.jpg"
    make(path)
    with pytest.raises(ValueError, match=fault):
        read_file(path, size=size)


def test_reads_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    Path(os.fsdecode(name)).write_bytes(b"abc")
    assert read_file(Path(os.fsdecode(name)), size=3).tobytes() == b"abc"
