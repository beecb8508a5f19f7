"""The index: what it holds, when it is made, what it refuses."""

import fcntl
import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline.layout
import pipeline.scan
from pipeline import mapped
from pipeline.cache import lock
from pipeline.catalog import catalog_file, write_catalog
from pipeline.header import FORMATS
from pipeline.imagenet import is_imagenet_1k
from pipeline.index import Index, find_index, open_index, open_splits
from pipeline.scan import ClassFolder
from pipeline.walk import list_class

REPOSITORY = Path(__file__).resolve().parents[2]


def image(height: int = 4, width: int = 4, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, kind)
    return out.getvalue()


JPEG = image()


def tree(root: Path, paths: Iterable[str], content: bytes = JPEG) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def paths(index: Index) -> list[str]:
    return [index.path(i).relative_to(index.root).as_posix() for i in range(len(index))]


def image_folder(root: Path) -> list[tuple[str, int]]:
    """torchvision 0.25 `make_dataset`, restated: (relative path, label)."""
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    return [
        (os.path.relpath(os.path.join(folder, name), root), label)  # noqa: PTH118
        for label, each in enumerate(classes)
        for folder, _, names in sorted(os.walk(root / each, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith((".jpg", ".jpeg", ".png"))
    ]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def headers_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose headers have been read."""
    read = []
    original = pipeline.scan.read_header
    monkeypatch.setattr(pipeline.scan, "read_header", lambda path: read.append(path) or original(path))
    return read


def quiet(line: str) -> None:
    raise AssertionError(f"said {line!r}")


def test_holds_every_image_in_the_order_of_image_folder(tmp_path: Path) -> None:
    names = [
        "b/2.JPG",
        "b/1.jpeg",
        "b/x/1.jpg",
        "b/x-y/1.jpg",
        "b/x/z/1.PNG",
        "B/1.Jpeg",
        "a b/ü.png",
        "10/1.jpg",
    ]
    root = tree(tmp_path / "train", names)
    (root / "away").symlink_to(
        tree(tmp_path / "elsewhere", ["1.jpg", "deep/1.jpg"]), target_is_directory=True
    )
    (root / "b" / "0.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    index = open_index(root, say=quiet)
    assert index.classes == ("10", "B", "a b", "away", "b")
    assert list(zip(paths(index), index.labels.tolist(), strict=True)) == image_folder(root)
    assert len(index) == 11 and index.ignored == 0
    assert index.labels.dtype == index.heights.dtype == index.widths.dtype == np.int32
    assert index.sizes.dtype == np.int64
    for array in (index.labels, index.heights, index.widths, index.sizes):
        assert array.shape == (11,) and not array.flags.writeable
    for outside in (-1, 11):
        with pytest.raises(IndexError):
            index.path(outside)


def test_holds_sizes_of_files_and_of_pixels(tmp_path: Path) -> None:
    tree(tmp_path / "train", ["a/1.JPEG"], image(30, 20, "PNG"))
    tree(tmp_path / "train", ["a/2.jpg"], image(7, 300))
    index = open_index(tmp_path / "train")
    assert index.heights.tolist() == [30, 7] and index.widths.tolist() == [20, 300]
    assert index.sizes.tolist() == [index.path(i).stat().st_size for i in range(2)]


def test_holds_what_headers_say(tmp_path: Path) -> None:
    root = tmp_path / "train"
    exif = Image.Exif()
    exif[0x0112] = 8
    for name, mode, kind, tags in (
        ("1.jpg", "RGB", "JPEG", exif),
        ("2.jpg", "CMYK", "JPEG", Image.Exif()),
        ("3.png", "LA", "PNG", exif),
        ("4.jpeg", "L", "PNG", Image.Exif()),
    ):
        out = io.BytesIO()
        Image.new(mode, (3, 3)).save(out, kind, exif=tags)
        tree(root, [f"a/{name}"], out.getvalue())
    for _ in range(2):  # made, then opened
        index = open_index(root)
        assert index.channels is not None and index.channels.tolist() == [3, 4, 2, 1]
        assert index.formats is not None and [FORMATS[i] for i in index.formats] == ["JPEG"] * 2 + ["PNG"] * 2
        assert index.orientations is not None and index.orientations.tolist() == [8, 0, 8, 0]
        assert index.channels.dtype == index.formats.dtype == index.orientations.dtype == np.uint8
    tree(root, ["b/1.jpg"])
    again = open_index(root)  # a is taken from the index before
    assert again.orientations is not None and again.orientations.tolist() == [8, 0, 8, 0, 0]


def test_leaves_out_and_counts_hidden_and_foreign_files(tmp_path: Path) -> None:
    foreign = ["a/.1.jpg", "a/notes.txt", "a/2.GIF", "a/.cache/1.jpg", ".git/1.jpg", "README", "loose.jpg"]
    root = tree(tmp_path / "train", ["a/1.jpg", "b/1.jpg", *foreign])
    lines: list[str] = []
    index = open_index(root, say=lines.append)
    assert paths(index) == ["a/1.jpg", "b/1.jpg"] and index.classes == ("a", "b")
    assert index.ignored == len(foreign)
    assert index.ignored_kinds == {"hidden": 3, ".txt": 1, ".gif": 1, "without suffix": 1, ".jpg": 1}
    assert lines == [
        f"left out in {root}: 7 hidden or foreign files and folders "
        "(3 hidden, 1 .gif, 1 .jpg, 1 .txt, 1 without suffix)"
    ]
    assert open_index(root, say=quiet).ignored_kinds == index.ignored_kinds


def test_holds_names_that_are_no_utf8(tmp_path: Path) -> None:
    root = tree(tmp_path / "train", [os.fsdecode(b"a\xff/1\xfe.jpg")])
    for _ in range(2):
        index = open_index(root)
        assert os.fsencode(index.path(0)).endswith(b"/a\xff/1\xfe.jpg") and index.path(0).exists()


def test_second_opening_reads_no_header(tmp_path: Path, headers_read: list[str]) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg", "b/deep/1.jpg"])
    first = open_index(root)
    assert len(headers_read) == 2
    again = open_index(root, say=quiet)
    assert len(headers_read) == 2
    assert paths(again) == paths(first) and again.identity == first.identity
    open_index(root, rescan=True)
    assert len(headers_read) == 4


@pytest.mark.parametrize(
    ("change", "expected", "read"),
    [
        (
            lambda root: tree(root, ["a/3.jpg"]),
            ["a/1.jpg", "a/3.jpg", "b/deep/1.jpg"],
            ["a/1.jpg", "a/3.jpg"],
        ),
        (lambda root: tree(root, ["b/deep/2.jpg"]), ["a/1.jpg", "b/deep/1.jpg", "b/deep/2.jpg"], ["b/"] * 2),
        (lambda root: tree(root, ["aa/1.jpg"]), ["a/1.jpg", "aa/1.jpg", "b/deep/1.jpg"], ["aa/1.jpg"]),
        (lambda root: (root / "b").rename(root / "0"), ["0/deep/1.jpg", "a/1.jpg"], ["0/deep/1.jpg"]),
        (lambda root: (root / "b").rename(root.parent / "b"), ["a/1.jpg"], []),
    ],
)
def test_a_change_is_seen_and_the_other_classes_are_not_read_again(
    tmp_path: Path, headers_read: list[str], change, expected: list[str], read: list[str]
) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg", "b/deep/1.jpg"])
    before = open_index(root)
    headers_read.clear()
    change(root)
    index = open_index(root)
    assert paths(index) == expected
    assert index.labels.tolist() == [index.classes.index(path.split("/")[0]) for path in expected]
    assert index.identity != before.identity
    assert len(headers_read) == len(read)
    assert all(f"/train/{part}" in path for part, path in zip(read, sorted(headers_read), strict=True))
    assert paths(before) == ["a/1.jpg", "b/deep/1.jpg"], "an index in use stays as it is"
    fresh = open_index(root, rescan=True)
    assert paths(fresh) == expected and fresh.identity == index.identity


def test_change_right_after_the_scan_is_seen(tmp_path: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    for count in range(2, 12):
        open_index(root)
        tree(root, [f"a/{count}.jpg"])
        assert len(open_index(root)) == count


def test_a_folder_is_listed_later_than_its_time_can_tell_apart(tmp_path: Path) -> None:
    folder = tree(tmp_path, ["a/1.jpg"]) / "a"
    now = time.time_ns()
    os.utime(folder, ns=(now, now))
    listing = list_class(tmp_path, "a")
    assert listing.folders == (("a", now),) and time.time_ns() - now >= 20_000_000
    os.utime(folder, ns=(now - 10**9, now - 10**9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: pytest.fail("waited for an old folder"))
        assert list_class(tmp_path, "a").files == ["a/1.jpg"]


def test_identity_is_of_paths_bytes_and_labels(tmp_path: Path) -> None:
    names = ["a/1.jpg", "b/1.jpg"]
    one = open_index(tree(tmp_path / "one", names))
    assert re.fullmatch("[0-9a-f]{64}", one.identity)
    assert open_index(tree(tmp_path / "copy", names)).identity == one.identity
    others = [
        open_index(tree(tmp_path / "path", ["a/1.jpg", "b/2.jpg"])),
        open_index(tree(tmp_path / "bytes", names, JPEG + b"\0")),
        open_index(tmp_path / "one", classes=["b", "a"]),
    ]
    assert len({index.identity for index in (one, *others)}) == 4


def test_labels_follow_the_classes_given(tmp_path: Path) -> None:
    root = tree(tmp_path / "val", ["b/1.jpg", "d/1.jpg", "d/2.jpg"])
    index = open_index(root, classes=["a", "b", "c", "d"])
    assert index.classes == ("a", "b", "c", "d") and index.labels.tolist() == [1, 3, 3]
    assert index.labels.dtype == np.int32 and not index.labels.flags.writeable
    with pytest.raises(
        ValueError, match=r"/val has class folders that are none of the 1 classes asked for: d;"
    ):
        open_index(root, classes=["b"])


def test_unreadable_files_keep_their_places_and_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "train", [f"a/{i}.jpg" for i in range(10)] + ["b/2.jpg"])
    tree(root, ["a/3.jpg"], b"")
    tree(root, ["b/1.png"], b"GIF89a")
    (root / "b" / "0.jpg").symlink_to("nowhere")
    said: list[str] = []
    index = open_index(root, say=said.append)
    assert said == [
        f"3 of 13 files in {root} are no readable JPEG or PNG: a/3.jpg (empty), b/0.jpg (a link to nothing), "
        "b/1.png (neither JPEG nor PNG, begins with b'GIF89a')"
    ]
    assert [index.name(i).decode() for i in index.unreadable] == ["a/3.jpg", "b/0.jpg", "b/1.png"]
    assert index.sizes[index.unreadable].tolist() == [0, 0, 6]
    assert index.widths[index.unreadable].tolist() == [0, 0, 0] and len(index) == 13
    assert open_index(root, say=said.append).unreadable.tolist() == index.unreadable.tolist()
    tree(root, ["a/99.jpg"])  # b is taken from the index that there is
    grown = open_index(root, say=said.append)
    assert [grown.name(i).decode() for i in grown.unreadable] == ["a/3.jpg", "b/0.jpg", "b/1.png"]
    assert said[1:] == [f"1 of 11 files in {root} are no readable JPEG or PNG: a/3.jpg (empty)"]


def test_a_class_without_a_readable_file_is_named(tmp_path: Path, cache: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg", "d/1.jpg"])
    tree(root, ["a/2.jpg", "b/1.jpg", "c/1.jpg"], b"")
    tree(root, [f"b/{i}.jpg" for i in range(2, 9)], b"?")
    with pytest.raises(ValueError) as error:
        open_index(root)
    assert str(error.value).startswith(
        f"classes in {root} without one readable JPEG or PNG: b, c; their files: b/1.jpg (empty), "
        "b/2.jpg (neither JPEG nor PNG, begins with b'?'), "
    )
    assert str(error.value).endswith(", ... (9 in all); put intact images there, or remove these folders")
    assert not list(cache.glob("*.index"))


@pytest.mark.parametrize("name", ["a/inner", "a/deep/inner"])
def test_a_link_around_in_a_circle_is_named(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg", "a/deep/1.jpg"])
    (root / name).symlink_to(root / "a", target_is_directory=True)
    with pytest.raises(
        ValueError, match=f"/train/{name} is a link to a folder that contains it; remove the link"
    ):
        open_index(root)


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg", "b/notes.txt"])
    (root / "c").mkdir()
    with pytest.raises(
        ValueError, match=r"without an image \(.jpg, .jpeg, .png\): b, c; fill or remove them"
    ):
        open_index(root)


def test_cache_within_the_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tree(tmp_path / "data", ["train/a/1.jpg", "val/a/1.jpg"])
    monkeypatch.setenv("REXNET_CACHE", str(data / "cache"))
    with pytest.raises(ValueError, match=r"cache folder .* lies within the data; export REXNET_CACHE=DIR"):
        open_splits(data)
    monkeypatch.setenv("REXNET_CACHE", str(data / "train" / "cache"))
    with pytest.raises(ValueError, match="lies within the data"):
        open_index(data / "train")
    assert sorted(file.name for file in data.rglob("*")) == ["1.jpg", "1.jpg", "a", "a", "train", "val"]


def test_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match=r"file/cache cannot be made: .*; export REXNET_CACHE=DIR"):
        open_index(root)


def test_default_cache_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REXNET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    open_index(tree(tmp_path / "train", ["a/1.jpg"]))
    assert len(list((tmp_path / "home" / ".cache" / "rexnet").glob("train-*.index"))) == 1


def test_a_damaged_index_is_said_and_made_anew(tmp_path: Path, cache: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    expected = open_index(root).identity
    (file,) = cache.glob("*.index")
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:30], b"", b"x" * 500, whole[:24] + b"?" * (len(whole) - 24)):
        file.write_bytes(damaged)
        lines: list[str] = []
        assert open_index(root, say=lines.append).identity == expected
        assert len(lines) == 1 and lines[0].startswith(str(file)) and lines[0].endswith("; it is made anew")
        assert file.read_bytes() == whole


def test_an_interrupted_scan_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    with monkeypatch.context() as patch:
        patch.setattr(mapped.os, "fsync", lambda fd: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            open_index(root)
    assert [file.suffix for file in cache.iterdir()] == [".lock"]
    assert len(open_index(root)) == 1


def test_what_a_killed_process_left_is_removed_with_time(tmp_path: Path, cache: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    file = open_index(root).file
    assert file is not None
    old, new, foreign = (cache / f"{name}.1-abc.part" for name in (file.name, f"{file.name}2", "other.index"))
    for part in (old, new, foreign):
        part.write_bytes(b"half")
    for part in (old, foreign):
        os.utime(part, (time.time() - 7200,) * 2)
    open_index(root, rescan=True)
    assert not old.exists() and new.exists() and foreign.exists()


def _open_and_report(root: Path, barrier, results) -> None:
    read = []
    original = pipeline.scan.read_header
    pipeline.scan.read_header = lambda path: (read.append(path), time.sleep(0.15), original(path))[2]
    barrier.wait()
    lines: list[str] = []
    index = open_index(root, say=lines.append)
    results.put((len(read), index.identity, lines))


def test_one_process_makes_it_and_the_others_wait(tmp_path: Path, cache: Path) -> None:
    root = tree(tmp_path / "train", [f"a/{i}.jpg" for i in range(4)])
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=_open_and_report, args=(root, barrier, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    reports = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sorted(read for read, _, _ in reports) == [0, 0, 4]
    assert len({identity for _, identity, _ in reports}) == 1
    waited = [lines for read, _, lines in reports if not read]
    assert all(lines in ([], [f"waiting for another process that indexes {root}"]) for lines in waited)
    assert any(waited), "nobody met the lock"
    assert sorted(file.suffix for file in cache.iterdir()) == [".index", ".lock"]


def _open_without_locks(root: Path, barrier, results) -> None:
    def no_locks(fd: int, how: int) -> None:
        raise OSError(38, "Function not implemented")

    fcntl.flock = no_locks
    _open_and_report(root, barrier, results)


def test_without_locks_all_write_and_the_index_is_whole(tmp_path: Path, cache: Path) -> None:
    root = tree(tmp_path / "train", [f"a/{i}.jpg" for i in range(4)])
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=_open_without_locks, args=(root, barrier, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    reports = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert [read for read, _, _ in reports].count(4) >= 2, "they did not work at once"
    (identity,) = {identity for _, identity, _ in reports}
    assert open_index(root, say=quiet).identity == identity
    assert sorted(file.suffix for file in cache.iterdir()) == [".index", ".lock"]


def _scan_for_ever(root: Path, begun) -> None:
    pipeline.scan.read_header = lambda path: (begun.set(), time.sleep(60))
    open_index(root)


def test_when_the_one_that_makes_it_is_killed_the_next_makes_it(tmp_path: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    worker = spawn.Process(target=_scan_for_ever, args=(root, begun))
    worker.start()
    assert begun.wait(60)
    lines: list[str] = []
    timer = threading.Timer(0.3, worker.kill)
    timer.start()
    assert len(open_index(root, say=lines.append)) == 1
    assert lines == [f"waiting for another process that indexes {root}"]
    worker.join(60)


def test_an_index_beside_the_data_serves_everybody(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, headers_read: list[str]
) -> None:
    data = tree(tmp_path / "data", ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"])
    index = open_index(data / "train", with_data=True, say=quiet)
    assert index.file is not None and index.file.parent == data / ".rexnet" and not cache.exists()
    headers_read.clear()
    monkeypatch.setenv("REXNET_CACHE", "/proc/none")  # neither there nor to be made
    assert open_index(data / "train", say=quiet).identity == index.identity
    data = data.rename(tmp_path / "mounted elsewhere")
    elsewhere = open_index(data / "train", say=quiet)
    assert elsewhere.identity == index.identity and elsewhere.path(0) == data / "train" / "a" / "1.jpg"
    assert elsewhere.path(0).exists() and not headers_read


def test_the_newer_of_two_indexes_counts(tmp_path: Path, headers_read: list[str]) -> None:
    root = tree(tmp_path / "data" / "train", ["a/1.jpg"])
    cached = open_index(root, say=quiet)
    headers_read.clear()
    beside = open_index(root, with_data=True, say=quiet)
    assert not headers_read, "what the cache knows is not read again"
    assert beside.file != cached.file and open_index(root).file == beside.file
    tree(root, ["a/1.jpg"], image(40, 30))  # in place: no folder's time changes
    fresh = open_index(root, rescan=True)
    assert fresh.file == cached.file and fresh.heights.tolist() == [40]
    found = find_index(root)
    assert found is not None and found.identity == fresh.identity != beside.identity
    tree(root, ["a/2.jpg"])
    assert find_index(root) is None


def test_a_folder_that_many_machines_would_wait_for_is_refused_with_the_command(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, headers_read: list[str]
) -> None:
    data = tree(tmp_path / "my data", ["train/a/1.jpg", "train/b/c/1.jpg", "train/b/2.jpg", "val/a/1.jpg"])
    (data / "train" / "d").symlink_to(data / "train" / "b", target_is_directory=True)
    monkeypatch.setattr(pipeline.layout, "SCANNED_BY_A_JOB", 5)
    with pytest.raises(ValueError) as error:
        open_splits(data, machines=2)
    assert str(error.value) == (
        f"{data}/train has no index in {cache} or has changed since, and holds more than 5 files: too many "
        "to scan while several machines wait. Make it once, with a cache folder that all machines see: "
        f"REXNET_CACHE={cache} python launch/index.py '{data}'"
    )
    with pytest.raises(ValueError, match=f"python launch/index.py '{data}/train/b'$"):
        monkeypatch.setattr(pipeline.layout, "SCANNED_BY_A_JOB", 0)
        open_index(data / "train" / "b", machines=2)
    assert not headers_read and not cache.exists()
    monkeypatch.setattr(pipeline.layout, "SCANNED_BY_A_JOB", 5)
    open_index(data / "val", machines=2)
    (data / "train" / "d").unlink()
    open_splits(data, machines=2)  # five files and folders
    monkeypatch.setattr(pipeline.layout, "SCANNED_BY_A_JOB", 0)
    open_splits(data, machines=2, say=quiet)


FILL = """
import resource, sys
from pathlib import Path
from pipeline.index import open_index
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
open_index(Path(sys.argv[1]))
"""


def test_no_room_for_the_index(tmp_path: Path, cache: Path) -> None:
    root = tree(tmp_path / "train", ["a/1.jpg"])
    run = subprocess.run(
        [sys.executable, "-c", FILL, str(root)], cwd=REPOSITORY, capture_output=True, text=True
    )
    message = run.stderr.splitlines()[-1]
    assert message.startswith(f"ValueError: the index {cache}/train-"), run.stderr
    assert message.endswith("cannot be written: File too large; make room or export REXNET_CACHE=DIR")
    assert [file.suffix for file in cache.iterdir()] == [".lock"]
    assert len(open_index(root)) == 1


def test_goes_on_and_says_so_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(fd: int, how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    lines: list[str] = []
    with lock(tmp_path / "x.lock", say=lines.append, waiting="waiting"):
        pass
    assert len(lines) == 1 and lines[0].startswith(f"no file locks in {tmp_path} (Function not implemented)")


def test_a_long_scan_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "train", [f"{name}/{i}.jpg" for name in "ab" for i in range(5)])
    monkeypatch.setattr("pipeline.progress._QUIET", 0.0)
    lines: list[str] = []
    open_index(root, say=lines.append)
    assert re.fullmatch(rf"listing {root}: 5 files, \d+ files/s", lines[0])
    assert re.fullmatch(rf"listed {root}: 10 files in \d+\.\d s, \d+ files/s", lines[1])
    assert re.fullmatch(rf"indexing {root}: 5 of 10 files, \d+ files/s, \d+ s to go", lines[2])
    assert re.fullmatch(rf"indexed {root}: 10 files in \d+\.\d s, \d+ files/s", lines[-1])


# The index is mapped here, too, as by a job's other ranks: pages of a file that one process alone has mapped
# count as its private ones.
MEASURE = """
import json, sys, time
from pathlib import Path
from pipeline.index import open_index
def private():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
before, began = private(), time.perf_counter()
index = open_index(Path(sys.argv[1]))
seconds = time.perf_counter() - began
for array in (index.labels, index.heights, index.widths, index.sizes, index.names, index.ends):
    array.sum()
for i in range(0, len(index), 997):
    index.path(i)
print(json.dumps({"images": len(index), "seconds": seconds, "private": private() - before}))
"""


def large(root: Path, cache: Path, *, classes: int, images: int) -> None:
    """The index of a tree of which only the class folders exist."""
    names = [f"n{i:08d}" for i in range(classes)]
    for name in names:
        (root / name).mkdir(parents=True)
    folders = [
        ClassFolder(
            name=name,
            folders=((name, (root / name).stat().st_mtime_ns),),
            paths=tuple(
                b"%s/%s_%d.JPEG" % (name.encode(), name.encode(), i) for i in range(images // classes)
            ),
            headers=np.full((images // classes, 6), 500, np.int64),
            ignored={},
        )
        for name in names
    ]
    cache.mkdir()
    write_catalog(catalog_file(cache, root, names), folders)


def test_an_index_of_imagenets_size_opens_at_once_and_is_shared(tmp_path: Path, cache: Path) -> None:
    large(tmp_path / "train", cache, classes=1000, images=1_280_000)
    here = open_index(tmp_path / "train")
    for array in (here.labels, here.heights, here.widths, here.sizes, here.names, here.ends):
        array.sum()
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "train")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(run.stdout)
    assert measured["images"] == 1_280_000
    assert measured["seconds"] < 0.5
    assert measured["private"] < 10  # MB; the file has 77


def test_splits_share_the_classes_of_train(tmp_path: Path) -> None:
    names = ["train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "val/b/1.jpg", "val/c/1.jpg"]
    train, val = open_splits(tree(tmp_path / "data", names), say=quiet)
    assert train.classes == val.classes == ("a", "b", "c")
    assert train.labels.tolist() == [0, 1, 2] and val.labels.tolist() == [1, 2]
    assert not is_imagenet_1k(train, val)


WANTED = "wanted: {0}/train/CLASS/IMAGE.jpg and {0}/val/CLASS/IMAGE.jpg"
SPLIT = "has no folder train: it is one split itself; name the folder above: {0}"
NO_VAL = "{0} has a folder train but no folder val to measure the accuracy on; "
LAYOUTS = {
    "nothing": (
        ["x/1.jpg"],
        "none/deep",
        "no folder {0}/none/deep; what exists is {0}; name the one that holds the images",
    ),
    "a file": (
        ["file"],
        "file",
        "{0}/file is a file; wanted: a folder that holds train/ and val/, or one of them",
    ),
    "train itself": (["train/a/1.jpg", "val/a/1.jpg"], "train", "{0}/train " + SPLIT),
    "val itself": (["train/a/1.jpg", "val/a/1.jpg"], "val", "{0}/val " + SPLIT),
    "one above": (
        ["set/train/a/1.jpg", "set/val/a/1.jpg"],
        ".",
        "{0} has no folder train: it lies deeper: {0}/set",
    ),
    "far above": (
        ["ILSVRC/Data/CLS-LOC/train/a/1.jpg", "ILSVRC/Annotations/x"],
        ".",
        "{0} has no folder train: it lies deeper: {0}/ILSVRC/Data/CLS-LOC",
    ),
    "one split": (["a/1.jpg", "b/1.jpg"], ".", "{0} has no folder train: it holds a, b; " + WANTED),
    "loose images": (["1.jpg"], ".", "{0} has no folder train: it holds no folders; " + WANTED),
    "no val": (["train/a/1.jpg"], ".", NO_VAL + "add it"),
    "valid": (["train/a/1.jpg", "valid/a/1.jpg"], ".", NO_VAL + "if it is called valid: ln -s valid {0}/val"),
    "no classes": (
        ["train/notes", "val/a/1.jpg"],
        ".",
        "{0}/train holds no class folders; wanted: {0}/train/CLASS/IMAGE.jpg",
    ),
    "unsorted val": (
        ["train/a/1.jpg", "val/1.jpg", "val/2.PNG", "val/notes"],
        ".",
        "the 2 images in {0}/val are not sorted into class folders; wanted: {0}/val/CLASS/IMAGE.jpg",
    ),
    "other classes": (
        ["train/a/1.jpg", "val/a/1.jpg", "val/b/1.jpg", "val/c/1.jpg"],
        ".",
        "{0}/val has class folders that {0}/train lacks: b, c; both must be sorted into the same classes",
    ),
    "empty class": (
        ["train/a/1.jpg", "train/b/notes", "val/a/1.jpg"],
        ".",
        "class folders in {0}/train without an image (.jpg, .jpeg, .png): b; fill or remove them",
    ),
}


@pytest.mark.parametrize(("there", "named", "message"), LAYOUTS.values(), ids=LAYOUTS)
def test_says_what_is_wanted_and_what_to_type(
    tmp_path: Path, there: list[str], named: str, message: str
) -> None:
    data = tree(tmp_path / "data", there)
    with pytest.raises(FileNotFoundError if named == "none/deep" else ValueError) as error:
        open_splits(data / named)
    assert str(error.value) == message.format(data)


def test_unsorted_imagenet_names_the_script(tmp_path: Path) -> None:
    data = tree(tmp_path / "data", ["train/n01440764/1.JPEG", "val/ILSVRC2012_val_00000001.JPEG"])
    with pytest.raises(
        ValueError, match=rf"; for ImageNet: cd {data}/val && wget -qO- https://\S+/valprep.sh \| bash$"
    ):
        open_splits(data)


def test_imagenet_1k_is_known_by_classes_and_counts(tmp_path: Path) -> None:
    def split(images: int, classes: tuple[str, ...]) -> Index:
        nothing = np.zeros(images, np.int8)
        return Index(
            root=tmp_path,
            classes=classes,
            identity="",
            labels=nothing,
            heights=nothing,
            widths=nothing,
            sizes=nothing,
            ignored=0,
            names=nothing,
            ends=nothing,
        )

    wnids = tuple(f"n{i:08d}" for i in range(1000))
    assert is_imagenet_1k(split(1_281_167, wnids), split(50_000, wnids))
    assert not is_imagenet_1k(split(1_281_166, wnids), split(50_000, wnids))
    assert not is_imagenet_1k(split(1_281_167, wnids), split(49_999, wnids))
    assert not is_imagenet_1k(split(1_281_167, wnids[1:]), split(50_000, wnids[1:]))
    assert not is_imagenet_1k(split(1_281_167, wnids), split(50_000, wnids[::-1]))
    words = (*wnids[:-1], "tench")
    assert not is_imagenet_1k(split(1_281_167, words), split(50_000, words))
