"""Whole data sets decoded: every kind of damage is found, and nothing else."""

import io
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline.progress
from pipeline import synthetic
from pipeline.index import open_index
from pipeline.verify import verify_index, verify_tree

REPOSITORY = Path(__file__).resolve().parents[2]


def encoded(kind: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(out, kind, **options)
    return out.getvalue()


JPEG, PNG = encoded(), encoded("PNG")


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def quiet(line: str) -> None:
    raise AssertionError(f"said {line!r}")


DAMAGED = {
    "half.jpg": (JPEG[: len(JPEG) // 2], "has no end mark: it is cut off"),
    "end.jpg": (JPEG[:-2], "has no end mark: it is cut off"),
    "tail.jpg": (JPEG[:-900] + bytes(900), "has no end mark: it is cut off"),
    "half.png": (PNG[: len(PNG) // 2], "has no end mark: it is cut off"),
    "end.png": (PNG[:-12], "has no end mark: it is cut off"),
    "bit.png": (flipped(PNG, len(PNG) // 2), "cannot be decoded: broken PNG file"),
    "short.png": (
        PNG[:33] + chunk(b"IDAT", zlib.compress(bytes(100))) + PNG[-12:],
        "cannot be decoded: image file is truncated",
    ),
    "no scan.jpg": (
        JPEG[: JPEG.index(b"\xff\xda")] + JPEG[-2:],
        "is no intact image: no JPEG marker at byte ",
    ),
    "stretched.png": (
        PNG[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 5000, 8, 2, 0, 0, 0)) + PNG[33:],
        "is 5000 x 1 pixels, which is absurd",
    ),
}
INTACT = {
    "a.jpg": JPEG,
    "b.jpeg": encoded(progressive=True),
    "c.jpg": encoded(mode="L"),
    "d.jpg": encoded(mode="CMYK"),
    "e.png": PNG,
    "f.png": encoded("PNG", "P"),
    "g.png": encoded("PNG", "RGBA"),
    "h.jpg": PNG,
    "i.jpg": JPEG + b"appended by a camera",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    for name, content in (INTACT | {name: content for name, (content, _) in DAMAGED.items()}).items():
        file = tmp_path / "train" / ("damaged" if name in DAMAGED else "intact") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "train"


def test_every_damaged_file_is_named_in_order_with_its_fault(root: Path) -> None:
    found = list(verify_index(open_index(root), say=quiet))
    assert [file for file, _ in found] == [root / "damaged" / name for name in sorted(DAMAGED)]
    for file, fault in found:
        assert fault.startswith(DAMAGED[file.name][1]), (file, fault)
    assert list(verify_tree(root, say=quiet)) == found


def test_a_tree_that_cannot_be_indexed_is_verified_all_the_same(root: Path) -> None:
    (root / "intact" / "page.jpg").write_bytes(b"<html>")
    (root / "intact" / "link.jpg").symlink_to("nowhere")
    found = dict(verify_tree(root, say=quiet))
    assert len(found) == len(DAMAGED) + 2
    assert found[root / "intact" / "link.jpg"] == "is no intact image: a link to nothing"
    assert found[root / "intact" / "page.jpg"].startswith("is no intact image: neither JPEG nor PNG")


def test_what_is_not_what_was_indexed_is_damaged(tmp_path: Path, root: Path) -> None:
    index = open_index(root)
    (root / "intact" / "a.jpg").write_bytes(JPEG + b"longer")
    (root / "intact" / "c.jpg").unlink()
    other = Image.new("RGB", (60, 41))
    other.save(root / "intact" / "e.png")
    padding = len(PNG) - (root / "intact" / "e.png").stat().st_size
    with (root / "intact" / "e.png").open("ab") as file:
        file.write(bytes(padding))
    found = {file.name: fault for file, fault in verify_index(index, say=quiet)}
    assert found["a.jpg"].startswith(f"has {len(JPEG) + 6} bytes, {len(JPEG)} when it was indexed")
    assert found["c.jpg"] == "is gone"
    assert len(PNG) == (root / "intact" / "e.png").stat().st_size
    assert found["e.png"].startswith("is 41 x 60 pixels, 40 x 60 when it was indexed")
    assert len(found) == len(DAMAGED) + 3


def test_a_clean_set_is_clean_and_long_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pipeline.progress, "_QUIET", 0.0)
    data = synthetic.make(tmp_path / "set", classes=2, train=40, val=4)
    lines: list[str] = []
    index = open_index(data / "train", say=lambda line: None)
    assert list(verify_index(index, say=lines.append)) == []
    assert lines[0].startswith(f"verifying {data}/train: 16 of 40 files, ") and "s to go" in lines[0]
    assert lines[-1].startswith(f"verified {data}/train: 40 files in ")


def test_a_large_image_is_decoded_without_pillows_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root / "damaged")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # these have 2400; an error from 4000 on
    assert list(verify_tree(root, say=quiet)) == []


STOPPED = """
import os, signal, sys, threading
from pathlib import Path
import pipeline.reading
from pipeline.index import open_index
from pipeline.verify import verify_index
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
root, stopped = Path(sys.argv[1]), threading.Event()
index = open_index(root)
root.rename(root.with_name("away"))
def press(line):
    print(line)
    os.kill(os.getpid(), signal.SIGINT)
    while not stopped.wait(5):  # an interrupt that meets Python within a destructor is lost
        os.kill(os.getpid(), signal.SIGINT)
pipeline.reading._say = lambda line: threading.Thread(target=press, args=[line]).start()
try:
    list(verify_index(index, say=print))
except KeyboardInterrupt:
    print("stopped")
finally:
    stopped.set()
"""


def test_stopping_ends_the_wait_for_data_that_are_gone(root: Path) -> None:
    # The program ends when its threads do.
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(root)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    said = f"{root} is gone; waiting until it is back\nstopped\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
