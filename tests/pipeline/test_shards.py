"""Packed sets: the same images as the folder, made again where they are damaged."""

import errno
import json
import os
import re
import tarfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import loader, pillow
from pipeline.agreement import Packing, shard_bounds
from pipeline.batch import Batch
from pipeline.config import Augmentation, Evaluation, Feeding
from pipeline.index import Index, open_index, open_splits
from pipeline.packing import pack
from pipeline.plans import Share
from pipeline.resizing import Resizing, resized
from pipeline.shards import DamagedShard
from pipeline.storage import read_image


def encoded(number: int, *, height: int, width: int, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    y, x = np.mgrid[:height, :width]
    wave = 127 + 120 * np.stack([np.sin(x / (3 + number)), np.cos(y / 5), np.sin((x + y) / 9)], axis=-1)
    out = BytesIO()
    Image.fromarray(wave.astype(np.uint8)).convert(mode).save(out, kind)
    return out.getvalue()


NAMES = {
    "a/1.jpg": encoded(1, height=40, width=60),
    "a/1.png": encoded(2, height=30, width=30, kind="PNG"),
    "a/2.x.JPEG": encoded(3, height=120, width=80),
    "b/deep/1.jpeg": encoded(4, height=50, width=50, mode="L"),
    "b/deep/ü ~.jpg": encoded(5, height=200, width=100, mode="CMYK"),
    "__c__/1.jpg": encoded(6, height=64, width=90),
    "c.d/1.png": encoded(7, height=90, width=64, mode="RGBA", kind="PNG"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path: Path) -> Index:
    for name, content in NAMES.items():
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).write_bytes(content)
    return open_index(tmp_path / "train", say=quiet)


def quiet(line: str) -> None:
    pass


def packed(source: Index, out: Path, *, shard_size: int = 12_000, **settings) -> Index:
    pack(source, out, packing=Packing(shard_size=shard_size, **settings), say=quiet)
    return open_index(out, say=quiet)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_holds_what_the_folder_holds(source: Index, tmp_path: Path) -> None:
    index = packed(source, tmp_path / "out")
    assert index.identity == source.identity and index.classes == source.classes
    assert index.shards is not None and len(index.shards.files) == 3
    for name in (
        "labels",
        "heights",
        "widths",
        "sizes",
        "names",
        "ends",
        "channels",
        "formats",
        "orientations",
    ):
        one, other = getattr(source, name), getattr(index, name)
        assert one.tolist() == other.tolist() and one.dtype == other.dtype and not other.flags.writeable, name
    for i in (*range(len(source)), 3, 0):
        assert read_image(index, i).tobytes() == source.path(i).read_bytes()
        assert index.path(i).relative_to(index.root) == source.path(i).relative_to(source.root)
    assert sorted(index.shards.opened) == [0, 1, 2]
    index.shards.close()
    assert read_image(index, 5).tobytes() == source.path(5).read_bytes()


def samples(files: list[Path]) -> dict[str, dict[str, bytes]]:
    """What WebDataset's reader makes of the files (webdataset 1.0.2, tariterators.py, restated)."""
    found: dict[str, dict[str, bytes]] = {}
    for file in files:
        before = None
        with tarfile.open(file) as archive:
            for member in archive:
                if not member.isreg() or re.match(r"__[^/]*__($|/)", member.name):
                    continue
                match = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
                assert match is not None, member.name
                key, suffix = match[1], match[2].lower()
                assert key == before or key not in found, "a sample's members must follow each other"
                sample = found.setdefault(key, {})
                assert suffix not in sample, f"{member.name} comes twice"
                before = key
                inside = archive.extractfile(member)
                assert inside is not None
                sample[suffix] = inside.read()
    return found


def test_webdataset_reads_every_sample_with_its_label(source: Index, tmp_path: Path) -> None:
    index = packed(source, tmp_path / "out")
    assert index.shards is not None
    read = list(samples(list(index.shards.files)).items())
    assert [key for key, _ in read] == [
        "%5F_c__/1", "a/1", "a/1~2", "a/2%2Ex", "b/deep/1", "b/deep/%C3%BC %7E", "c.d/1",
    ]  # fmt: skip
    for i, (_, sample) in enumerate(read):
        suffix = source.path(i).suffix[1:].lower()
        assert sample == {suffix: source.path(i).read_bytes(), "cls": b"%d" % source.labels[i]}


def test_packing_again_gives_the_same_bytes(source: Index, tmp_path: Path) -> None:
    packed(source, tmp_path / "one")
    packed(source, tmp_path / "two")
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert one == two and set(one) == {
        "packing.json", "shard-00000.tar", "shard-00001.tar", "shard-00002.tar", "shards.index",
    }  # fmt: skip


def test_makes_larger_images_smaller_and_leaves_the_others(source: Index, tmp_path: Path) -> None:
    index = packed(source, tmp_path / "out", resizing=Resizing(short_side=50, quality=90))
    assert index.identity != source.identity and index.shards is not None
    shapes = list(zip(index.heights.tolist(), index.widths.tolist(), strict=True))
    assert shapes == [(50, 70), (40, 60), (30, 30), (75, 50), (50, 50), (100, 50), (70, 50)]
    assert source.names.tolist() == index.names.tolist()
    for i, shape in enumerate(shapes):
        read = read_image(index, i).tobytes()
        same = read == source.path(i).read_bytes()
        assert same == (shape == (source.heights[i], source.widths[i]))
        with Image.open(BytesIO(read)) as image:
            assert (image.height, image.width) == shape and image.mode in ("RGB", "L")
            assert same or image.format == "JPEG"
    assert list(index.shards.files[0].parent.glob("*.made")) == []
    again = packed(index, tmp_path / "again")
    assert again.identity == index.identity
    assert read_image(again, 3).tobytes() == read_image(index, 3).tobytes()


def test_resizes_as_pillow_does() -> None:
    smaller = resized(NAMES["a/2.x.JPEG"], resizing=Resizing(short_side=40, quality=95))
    assert smaller is not None
    got = np.asarray(Image.open(BytesIO(smaller)).convert("L"), dtype=float)  # colour is coded more coarsely
    whole = Image.open(BytesIO(NAMES["a/2.x.JPEG"])).convert("L")
    wanted = np.asarray(whole.resize((40, 60), Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(got - wanted).mean() < 2
    aliased = np.asarray(whole.resize((40, 60), Image.Resampling.NEAREST), dtype=float)
    assert np.abs(got - wanted).mean() < np.abs(aliased - wanted).mean() / 2
    assert resized(NAMES["a/1.jpg"], resizing=Resizing(short_side=40)) is None


def test_16_bit_gray_stays_gray_and_keeps_its_levels() -> None:
    file, levels = BytesIO(), np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    Image.fromarray(levels.astype(np.uint16)).save(file, "PNG")
    smaller = resized(file.getvalue(), resizing=Resizing(short_side=32))
    assert smaller is not None
    with Image.open(BytesIO(smaller)) as image:
        wanted = levels.reshape(32, 2, 32, 2).mean(axis=(1, 3)) / 257
        assert image.mode == "L" and np.abs(np.asarray(image, float) - wanted).mean() < 2


def test_what_cannot_be_decoded_is_packed_as_it_is_and_named(source: Index, tmp_path: Path) -> None:
    path = source.path(3)
    path.write_bytes(path.read_bytes()[:400] + bytes(int(source.sizes[3]) - 400))
    lines: list[str] = []
    packing = Packing(resizing=Resizing(short_side=50))
    pack(source, tmp_path / "out", packing=packing, say=lines.append)
    assert len(lines) == 2 and re.fullmatch(
        r"a/2%2Ex \(.+\): packed as it is, since it cannot be decoded", lines[0]
    )
    index = open_index(tmp_path / "out", say=quiet)
    assert read_image(index, 3).tobytes() == path.read_bytes()
    assert (index.heights[3], index.widths[3]) == (120, 80)


def test_splits_are_a_run_s_whether_packed_or_not(source: Index, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a/1.jpg", "b/1.jpg"):
        (data / "val" / name).parent.mkdir(parents=True, exist_ok=True)
        (data / "val" / name).write_bytes(NAMES["a/1.jpg"])
    (data / "train").symlink_to(source.root)
    folders = open_splits(data, say=quiet)
    for name, split in zip(("train", "val"), folders, strict=True):
        packed(split, tmp_path / "out" / name)
    both = open_splits(tmp_path / "out", say=quiet)
    assert [index.identity for index in both] == [index.identity for index in folders]
    assert both[1].labels.tolist() == folders[1].labels.tolist() == [1, 2]
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "train").symlink_to(tmp_path / "out" / "train")
    (tmp_path / "mixed" / "val").symlink_to(data / "val")
    assert [index.identity for index in open_splits(tmp_path / "mixed", say=quiet)] == [
        index.identity for index in folders
    ]


def test_batches_are_bit_identical(source: Index, tmp_path: Path) -> None:
    index = packed(source, tmp_path / "out")
    for one, other in zip(batches(source), batches(index), strict=True):
        assert one.ids.tolist() == other.ids.tolist() and torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def batches(index: Index) -> list[Batch]:
    """A few of training, with RandomResizedCrop and flip, and of evaluation by either decoder."""
    cpu = {"feeding": Feeding(workers=1), "device": torch.device("cpu")}
    train = loader.train_batches(
        index,
        augmentation=Augmentation(),
        seed=3,
        share=Share(batch=4, micro_batch=2, rank=0, world_size=1),
        image_size=lambda step: 32,
        from_step=1,
        to_step=4,
        **cpu,
    )
    evaluation = {"evaluation": Evaluation(eval_batch=3), "rank": 0, "world_size": 1, "image_size": 32} | cpu
    found = [*train, *loader.eval_batches(index, **evaluation), *pillow.eval_batches(index, **evaluation)]
    assert len(found) == 6 + 3 + 3
    return found


def swap(file: Path) -> None:
    """Other content of the same size."""
    file.write_bytes(file.read_bytes()[512:] + bytes(512))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), r"^the shard .*/shard-00001.tar is missing; this makes it again: X Y$"),
        (
            lambda file: os.truncate(file, 5000),
            r"shard-00001.tar is cut off or has changed: it has 5000 bytes, \d+ when it was packed; this",
        ),
        (
            swap,
            r"shard-00001.tar is cut off or has changed: it holds no image of \d+ bytes at byte \d+; this",
        ),
    ],
)
def test_a_damaged_shard_is_named_and_made_again(source: Index, tmp_path: Path, damage, message: str) -> None:
    out = tmp_path / "out"
    before = packed(source, out, command="X Y")
    assert before.shards is not None
    whole = content(out)
    damage(out / "shard-00001.tar")
    first, last = before.shards.first[1:3].tolist()
    with pytest.raises(DamagedShard, match=message):
        read_image(before, first)  # opened only now
    if damage is not swap:
        with pytest.raises(DamagedShard, match=message):
            open_index(out, say=quiet)
    times = {name: (out / name).stat().st_mtime_ns for name in ("shard-00000.tar", "shard-00002.tar")}
    after = packed(source, out, command="X Y")
    assert content(out) == whole
    assert times == {name: (out / name).stat().st_mtime_ns for name in times}
    assert read_image(after, last - 1).tobytes() == source.path(last - 1).read_bytes()


def test_a_file_that_went_stale_is_opened_anew(
    source: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = packed(source, tmp_path / "out")
    whole = read_image(index, 0).tobytes()

    def fail(*asked: object) -> int:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr("os.preadv", fail)
        with pytest.raises(
            ValueError, match=r"^the shard .*/shard-00000.tar cannot be read: Stale file handle$"
        ):
            read_image(index, 0)
    assert index.shards is not None and not index.shards.opened
    assert read_image(index, 0).tobytes() == whole


def test_reads_on_where_the_system_gives_less(
    source: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = packed(source, tmp_path / "out")
    original = os.preadv
    asked = []

    def little(fd: int, buffers: list, offset: int) -> int:
        asked.append(offset)
        return original(fd, [memoryview(buffers[0])[:300]], offset)

    monkeypatch.setattr("os.preadv", little)
    for i in range(len(source)):
        assert read_image(index, i).tobytes() == source.path(i).read_bytes()
    assert len(asked) > len(source) + 10


def test_too_many_open_files_are_told_from_damage(
    source: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = packed(source, tmp_path / "out")

    def fail(*asked: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("os.open", fail)
    with pytest.raises(ValueError, match=r"cannot be opened: Too many open files; .* ulimit -n 1027$"):
        read_image(index, 0)


def test_a_shard_that_goes_missing_stops_the_reading(source: Index, tmp_path: Path) -> None:
    index = packed(source, tmp_path / "out")
    (tmp_path / "out" / "shard-00001.tar").unlink()
    with pytest.raises(
        DamagedShard, match=r"^the shard .*/shard-00001.tar is missing; this makes it again: "
    ):
        batches(index)


def test_a_bit_that_has_changed_is_found_when_packing_again(source: Index, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed(source, out)
    whole = content(out)
    file = out / "shard-00002.tar"
    changed = bytearray(file.read_bytes())
    changed[700] ^= 4
    file.write_bytes(changed)
    packed(source, out)
    assert content(out) == whole


def test_what_was_finished_before_a_fault_is_kept(source: Index, tmp_path: Path) -> None:
    out = tmp_path / "out"
    last = source.path(len(source) - 1)
    aside = last.rename(tmp_path / "aside")
    with pytest.raises(FileNotFoundError, match=r"c\.d/1\.png is gone$"):
        packed(source, out)
    assert not list(out.glob(".*.part"))
    with pytest.raises(ValueError, match=r"packing .*/out has not ended; the same command of launch/pack.py"):
        open_index(out, say=quiet)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert len(times) == 2
    (out / "shard-00001.tar").write_bytes(b"changed")
    aside.rename(last)
    packed(source, out)
    packed(source, tmp_path / "at once")
    assert content(out) == content(tmp_path / "at once")
    assert times[out / "shard-00000.tar"] == (out / "shard-00000.tar").stat().st_mtime_ns


def test_another_packing_is_refused(source: Index, tmp_path: Path) -> None:
    packed(source, tmp_path / "out")
    with pytest.raises(ValueError, match=r"another packing; what differs: shard_size 12000 -> 9000\. Name"):
        packed(source, tmp_path / "out", shard_size=9000)
    with pytest.raises(ValueError, match=r"what differs: resizing None -> {'short_side': 32"):
        packed(source, tmp_path / "out", resizing=Resizing(short_side=32))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match=r"/mine holds other things already \(thesis.tex\)"):
        packed(source, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir() if path.name != ".lock"] == ["thesis.tex"]


def test_room_is_looked_for_first(source: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(
        ValueError, match=r"/out has 1.0 kB free, but packing needs about \d\d\.\d kB; make room"
    ):
        packed(source, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))


def test_shards_are_of_about_one_size() -> None:
    sizes = np.full(1000, 110_000.0)
    bounds = shard_bounds(sizes, shard_size=10_000_000)
    assert bounds[0] == 0 and bounds[-1] == 1000 and len(bounds) == 13
    assert all(88 <= stop - first <= 91 for first, stop in pairwise(bounds[:-1]))
    assert shard_bounds(np.full(3, 1e9), shard_size=500_000_000) == [0, 1, 2, 3]
    assert shard_bounds(np.ones(1), shard_size=500_000_000) == [0, 1]


def test_several_processes_make_the_same(source: Index, tmp_path: Path) -> None:
    packed(source, tmp_path / "one", resizing=Resizing(short_side=50))
    packed(source, tmp_path / "two", resizing=Resizing(short_side=50), processes=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "packing.json").read_text())["resizing"]["short_side"] == 50
