"""The index program: what it says, what it leaves behind, and how it ends."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from launch.index import main
from launch.indexing import imagenet_line
from pipeline import synthetic
from pipeline.drawing import SHAPES
from pipeline.index import Index, open_splits
from tests.launch.program import REPOSITORY, command, environment, run

FIRST = next(iter(SHAPES))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("index") / "set", classes=3, train=30, val=12)


@pytest.fixture
def data(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(whole, tmp_path / "set")


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str], str]:
    """Runs the program here: exit code, lines of standard output, standard error."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def blocks(lines: list[str]) -> dict[str, dict[str, str]]:
    """The summary of each split by its folder."""
    found: dict[str, dict[str, str]] = {}
    rows: dict[str, str] = {}
    for line in lines:
        if line.startswith("/"):
            rows = found[line] = {}
        elif line.startswith("  "):
            rows[line[2:14].strip()] = line[15:]
    return found


def test_says_what_both_splits_hold(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = data / "train" / FIRST
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGBA", (700, 20)).save(out, "PNG", exif=exif)
    (first / "deep").mkdir()
    (first / "deep" / "banner.png").write_bytes(out.getvalue())
    (first / "notes.txt").write_text("")
    (first / ".DS_Store").write_text("")
    code, lines, err = told(capsys, data)
    assert code == 0 and err == ""
    shown = blocks(lines)
    assert list(shown) == [f"{data}/train", f"{data}/val"]
    train, val = open_splits(data)
    rows = shown[f"{data}/train"]
    gray = int((np.asarray(train.channels) == 1).sum())
    assert rows["images"] == "31 in 3 classes, min 10, median 10, max 11 in a class"
    assert rows["formats"] == "JPEG: 30, PNG: 1"
    assert rows["channels"] == f"3: {30 - gray}, 1: {gray}, 4: 1" and gray > 1
    low, middle = int(train.heights.min()), np.median(train.heights)
    assert rows["height"] == f"min {low}, median {middle:.0f}, max {train.heights.max()} pixels" and low == 20
    assert rows["width"].endswith("max 700 pixels")
    assert rows["file size"].endswith(f"{train.sizes.sum() / 1000:.1f} kB in all")
    assert rows["orientation"] == "1 with an EXIF tag, 1 of them for a turned image (6: 1); it is not applied"
    assert rows["left out"] == "2 hidden or foreign files and folders (1 .txt, 1 hidden)"
    assert rows["identity"] == train.identity and shown[f"{data}/val"]["identity"] == val.identity
    assert rows["index"].startswith(f"{train.file}, ") and re.search(r"made in \d+ ms$", rows["index"])
    assert shown[f"{data}/val"]["left out"] == "nothing"
    assert shown[f"{data}/val"]["orientation"] == "no EXIF tags"

    code, lines, err = told(capsys, "set")  # from the folder above, by a relative path
    again = blocks(lines)[f"{data}/train"]
    assert code == 0 and re.search(r"opened in \d+ ms$", again["index"])
    assert {name: text for name, text in again.items() if name != "index"} == {
        name: text for name, text in rows.items() if name != "index"
    }
    assert sorted(path.name for path in data.parent.iterdir()) == ["cache", "set"]


def test_one_split_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = told(capsys, data / "val")
    assert code == 0 and list(blocks(lines)) == [f"{data}/val"]
    shutil.rmtree(data / "val" / FIRST)
    _, lines, _ = told(capsys, data)  # val may lack classes
    assert blocks(lines)[f"{data}/val"]["images"].startswith("8 in 2 of 3 classes, min 4")
    (data / "train").rename(data.parent / "elsewhere")
    code, lines, _ = told(capsys, data)
    assert code == 0 and list(blocks(lines)) == [f"{data}/val"]


def test_names_that_are_no_utf8(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data.rename(data.parent / os.fsdecode(b"set\xff"))
    victim = next((data / "val").rglob("*.jpg"))
    victim.write_bytes(victim.read_bytes()[:-2])
    code, lines, _ = told(capsys, data, "--verify")
    assert code == 1 and f"{data.parent}/set\\xff/train" in blocks(lines)
    assert any(line.startswith(f"damaged: {data.parent}/set\\xff/val/") for line in lines)


def test_a_class_may_be_called_train(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "train" / FIRST).rename(data / "train" / "train")  # as in CIFAR-100
    for named in (data / "train", data):
        (data / "val" / FIRST).exists() and (data / "val" / FIRST).rename(data / "val" / "train")
        code, lines, err = told(capsys, named)
        assert code == 0, err
        assert blocks(lines)[f"{data}/train"]["images"].startswith("30 in 3 classes, min 10")


def test_rescan_sees_what_was_overwritten_in_place(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, first, _ = told(capsys, data / "val")
    victim = next((data / "val").rglob("*.jpg"))
    Image.new("RGB", (333, 222)).save(victim)
    _, second, _ = told(capsys, data / "val")
    code, third, _ = told(capsys, data / "val", "--rescan")
    one, two, three = (blocks(lines)[f"{data}/val"] for lines in (first, second, third))
    assert code == 0 and one["identity"] == two["identity"] != three["identity"]
    assert "max 333" not in two["width"] and "max 333" in three["width"] and " made in " in three["index"]


def test_beside_the_data_when_asked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = told(capsys, data, "--beside")
    assert code == 0
    for split in ("train", "val"):
        assert blocks(lines)[f"{data}/{split}"]["index"].startswith(f"{data}/.rexnet/{split}-")
    assert sorted(path.name for path in data.parent.iterdir()) == ["set"], "nothing elsewhere"
    _, lines, _ = told(capsys, data)
    assert blocks(lines)[f"{data}/train"]["index"].startswith(f"{data}/.rexnet/train-")


def test_verify_names_every_damaged_file_and_ends_with_1(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, _ = told(capsys, data, "--verify")
    assert code == 0 and sum(line.endswith(": none damaged") for line in lines) == 2
    assert not any(line.startswith("damaged") for line in lines)
    files = sorted((data / "train").rglob("*.jpg"))
    for file in files[3:12]:
        file.write_bytes(file.read_bytes()[:-2])
    code, lines, err = told(capsys, data, "--verify", "--rescan")
    damaged = [line for line in lines if line.startswith("damaged: ")]
    assert code == 1 and err == ""
    assert damaged == [f"damaged: {file} has no end mark: it is cut off" for file in files[3:12]]
    ends = [line for line in lines if line.startswith("decoded ")]
    assert re.fullmatch(rf"decoded 30 images of {data}/train in \d+\.\d s: 9 damaged", ends[0])
    assert re.fullmatch(rf"decoded 12 images of {data}/val in \d+\.\d s: none damaged", ends[1])
    files[0].write_bytes(b"<html>")
    code, lines, err = told(capsys, data, "--verify", "--rescan")
    assert code == 1 and err == "" and list(blocks(lines)) == [f"{data}/train", f"{data}/val"]
    assert sum(line.startswith("damaged: ") for line in lines) == 10
    fault = "is no intact image: neither JPEG nor PNG, begins with b'<html>'"
    assert f"damaged: {files[0]} {fault}" in lines
    for _ in range(2):  # made, and opened
        code, lines, err = told(capsys, data, "--rescan")
        rows = blocks(lines)[f"{data}/train"]
        assert code == 0 and err == ""
        assert rows["unreadable"] == (
            f"1, in whose places others are shown: {files[0].relative_to(data / 'train')} {fault}"
        )
        assert rows["formats"] == "JPEG: 29" and not rows["height"].startswith("min 0")


def test_a_class_without_a_readable_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((data / "train" / FIRST).rglob("*.jpg"))
    for file in files:
        file.write_bytes(b"<html>")
    code, _, err = told(capsys, data)
    assert code == 2 and f"in {data}/train without one readable JPEG or PNG: {FIRST}; their files: " in err
    code, lines, err = told(capsys, data, "--verify")
    assert code == 1 and err == "" and list(blocks(lines)) == [f"{data}/val"]
    assert sum(line.startswith("damaged: ") for line in lines) == len(files) == 10


def test_dali_finds_what_it_cannot_decode(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((data / "val").rglob("*.jpg"))
    files[2].write_bytes(files[2].read_bytes()[:-2])
    content = files[7].read_bytes()
    table = content.index(b"\xff\xc4") + 5
    files[7].write_bytes(content[:table] + b"\xff" * 16 + content[table + 16 :])  # no Huffman code is so
    code, lines, _ = told(capsys, data / "val", "--verify", "--decoder", "dali")
    damaged = [line for line in lines if line.startswith("damaged: ")]
    assert code == 1 and len(damaged) == 2
    assert damaged[0] == f"damaged: {files[2]} has no end mark: it is cut off"
    assert damaged[1].startswith(f"damaged: {files[7]} ") and "decode" in damaged[1]
    assert lines[-1].endswith(": 2 damaged")


def emptied(data: Path) -> None:
    shutil.rmtree(data / "train")
    shutil.rmtree(data / "val")


def flat_val(data: Path) -> None:
    for file in list((data / "val").rglob("*.jpg")):
        file.rename(data / "val" / f"{file.parent.name}-{file.name}")
    for folder in (data / "val").iterdir():
        if folder.is_dir():
            folder.rmdir()


MISTAKES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "missing": (lambda d: None, "set/none/deep", "no folder {0}/none/deep; what exists is {0}"),
    "a file": (lambda d: (d / "x.tar").touch(), "set/x.tar", "{0}/x.tar is a file; wanted: a folder that"),
    "nothing in it": (emptied, "set", "{0} holds no class folders; wanted: {0}/CLASS/IMAGE.jpg"),
    "one level too high": (lambda d: None, ".", "one level deeper: python launch/index.py {0}"),
    "a class folder": (
        lambda d: None,
        f"set/train/{FIRST}",
        f"10 images in {{0}}/train/{FIRST} are not sorted",
    ),
    "no val": (
        lambda d: shutil.rmtree(d / "val"),
        "set",
        "; to index train alone: python launch/index.py {0}/train",
    ),
    "val called valid": (lambda d: (d / "val").rename(d / "valid"), "set", "ln -s valid {0}/val"),
    "other names": (
        lambda d: ((d / "train").rename(d / "training"), (d / "val").rename(d / "test")),
        "set",
        "{0} holds test, training; the splits must be called train and val",
    ),
    "flat val": (flat_val, "set", "the 12 images in {0}/val are not sorted into class folders"),
    "empty class": (
        lambda d: (shutil.rmtree(d / "train" / FIRST), (d / "train" / FIRST).mkdir()),
        "set",
        "class folders in {0}/train without an image (.jpg",
    ),
    "foreign class": (
        lambda d: shutil.copytree(d / "val" / FIRST, d / "val" / "zebra"),
        "set",
        "lacks: zebra",
    ),
    "a link in a circle": (
        lambda d: (d / "train" / FIRST / "self").symlink_to(d / "train"),
        "set",
        "is a link to a folder that contains it; remove the link",
    ),
    "misspelt flag": (lambda d: None, "--verfy", "--verify"),
    "nothing to decode": (lambda d: None, "--decoder=dali", "has a meaning with --verify only"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_with_one_line(mistake: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, named, wanted = MISTAKES[mistake]
    change(data)
    code, lines, err = told(capsys, *(["set", named] if named.startswith("--") else [named]))
    assert code == 2 and lines == []
    assert err.startswith("index.py: ") and err.count("\n") == 1 and wanted.format(data) in err, err
    assert not (data.parent / "runs").exists()


def refused(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied", "/some/folder")


@pytest.mark.parametrize("call", ["os.scandir", "pathlib.Path.is_dir"])
def test_no_permission(
    call: str, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(call, refused)
        code, lines, err = told(capsys, data)
    assert code == 2 and lines == [] and err.count("\n") == 1
    assert "Permission denied" in err and "/" in err and "[Errno" not in err


@pytest.mark.parametrize("flags", [(), ("--beside",)])
def test_nowhere_to_write(
    flags: tuple[str, ...], data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REXNET_CACHE", "/proc/none")
    monkeypatch.setattr("pipeline.cache.beside", lambda split: Path("/proc/none"))
    code, lines, err = told(capsys, data, *flags)
    assert code == 2 and lines == []
    assert err.startswith("index.py: ") and err.count("\n") == 1 and "/proc/none cannot be made" in err
    assert ("REXNET_CACHE=DIR" in err) != bool(flags)


def test_imagenet_is_counted(tmp_path: Path) -> None:
    def split(images: int, names: list[str]) -> Index:
        nothing = np.broadcast_to(np.int32(0), images)
        return Index(
            root=tmp_path, classes=tuple(names), identity="", labels=nothing, heights=nothing,
            widths=nothing, sizes=nothing, ignored=0, names=nothing, ends=nothing,
        )  # fmt: skip

    wnids = [f"n{i:08d}" for i in range(1000)]
    assert imagenet_line(split(1_281_167, wnids), split(50_000, wnids)) == (
        "ImageNet-1k: 1000 classes, training images 1281167 of 1281167 ok, "
        "validation images 50000 of 50000 ok"
    )
    short = imagenet_line(split(1_281_166, wnids), split(50_000, wnids))
    assert short is not None and "1281166 of 1281167 WRONG, validation images 50000 of 50000 ok" in short
    assert imagenet_line(split(9, wnids[1:]), split(9, wnids[1:])) is None
    assert imagenet_line(split(9, wnids), split(9, wnids[::-1])) is None


def test_several_at_once_make_one_index(data: Path, tmp_path: Path) -> None:
    runs = [
        subprocess.Popen(command("index", data), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ends = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], ends
    identities = {tuple(rows["identity"] for rows in blocks(out.splitlines()).values()) for out, _ in ends}
    assert len(identities) == 1
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".index"] * 2 + [".lock"] * 2


SLOW = """
import signal, sys, time
from pathlib import Path
import pipeline.scan
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
def slow(path):
    Path(sys.argv[2]).touch()
    time.sleep(1)
pipeline.scan.read_header = slow
from launch.index import main
sys.exit(main(sys.argv[1:2]))
"""


def test_ctrl_c_leaves_nothing(data: Path, tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(data / "train"), str(tmp_path / "begun")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=str(REPOSITORY)),
    )
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < until:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        pressed = time.monotonic()
        out, err = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, out, err) == (130, "", "index.py: interrupted\n")
    assert time.monotonic() - pressed < 6  # ten headers of a class would have taken ten seconds
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_help_waits_for_neither_torch_nor_numpy(tmp_path: Path) -> None:
    program = (
        "import sys; from launch.index import main; code = main(sys.argv[1:]); "
        "print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules]); sys.exit(code)"
    )
    for words, code in ((["--help"], 0), (["--rescn"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(REPOSITORY)),
        )
        assert (done.returncode, done.stdout.splitlines()[-1]) == (code, "[]"), done.stderr
    program = "import sys; from launch.indexing import index_data; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(REPOSITORY)),
    )
    assert done.stdout == "False\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_several_machines_do_not_wait_for_a_long_scan(tmp_path: Path) -> None:
    """60 000 files by links to 600; nobody joins the group, so that four ranks need not be there."""
    files = tmp_path / "files"
    files.mkdir()
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    for i in range(600):
        (files / f"{i}.jpg").write_bytes(out.getvalue())
    for split in ("train", "val"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for i in range(100):
            (tmp_path / "set" / split / f"c{i:02}").symlink_to(files, target_is_directory=True)
    began = time.monotonic()
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    flags = ("--data", tmp_path / "set", "--batch", 256, "--micro-batch", 64)
    done = run("train", "cifar10", *flags, cwd=tmp_path, REXNET_CACHE=str(tmp_path / "cache"), **ranks)
    assert done.returncode == 2 and time.monotonic() - began < 30, done.stderr
    command = f"REXNET_CACHE={tmp_path}/cache python launch/index.py {tmp_path}/set"
    assert done.stderr.endswith(f"with a cache folder that all machines see: {command}\n"), done.stderr
    assert not (tmp_path / "cache").exists()
