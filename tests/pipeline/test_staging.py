"""A packed set's copy on a machine's own disk."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from pipeline import staging
from pipeline.agreement import Packing
from pipeline.index import open_index, open_splits
from pipeline.packing import pack
from pipeline.staging import NotStaged, stage
from pipeline.storage import read_image
from pipeline.synthetic import make


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("set") / "images", classes=2, train=12, val=4)


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "images-packed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_CACHE", str(out.parent / "cache"))
        for split in ("train", "val"):
            index = open_index(folder / split, say=quiet)
            pack(index, out / split, packing=Packing(shard_size=8000), say=quiet)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_the_copy_is_the_same_data(packed: Path, tmp_path: Path) -> None:
    said: list[str] = []
    copy = stage(packed, tmp_path, say=said.append)
    assert copy.is_relative_to(tmp_path) and copy.name == packed.name
    assert files(copy) == files(packed) and len(files(copy)) > 6
    assert len(said) == 1 and f"{packed} to {copy}: " in said[0] and " GB/s" in said[0]
    for ours, theirs in zip(open_splits(copy, say=quiet), open_splits(packed, say=quiet), strict=True):
        assert ours.identity == theirs.identity and ours.root != theirs.root
        assert read_image(ours, 1).tobytes() == read_image(theirs, 1).tobytes()
    home = copy.parent
    assert home.stat().st_mode & 0o777 == 0o700
    assert stage(packed / "val", tmp_path, say=quiet).parent != home  # other content


def test_a_second_start_copies_only_what_is_missing(packed: Path, tmp_path: Path) -> None:
    copy = stage(packed, tmp_path, say=quiet)
    shards = sorted((copy / "train").glob("*.tar"))
    before = {shard: shard.stat().st_mtime_ns for shard in shards}
    said: list[str] = []
    assert stage(packed, tmp_path, say=said.append) == copy
    assert "already there" in said[0]
    shards[0].unlink()
    os.truncate(shards[1], 512)
    (copy / "train" / "shard-00009.tar.77.part").write_bytes(b"half")  # of one that was killed
    stage(packed, tmp_path, say=said.append)
    assert "already there" not in said[1]
    assert files(copy) == files(packed)
    assert all(shard.stat().st_mtime_ns == before[shard] for shard in shards[2:])


def test_a_kill_in_the_middle_leaves_nothing_that_counts_as_whole(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index, by which a split is known, comes last; a shard appears by its renaming."""
    seen: list[Path] = []

    def copyfile(source: Path, target: Path) -> None:
        seen.append(source)
        if len(seen) > 2:
            target.write_bytes(b"half")
            raise OSError(5, "gone")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(staging.shutil, "copyfile", copyfile)
    with pytest.raises(NotStaged, match="gone"):
        stage(packed, tmp_path, say=quiet)
    assert not list(tmp_path.rglob("shards.index"))
    whole = files(packed)
    for name, content in files(tmp_path).items():
        part = Path(*Path(name).parts[2:])
        assert name.endswith((".part", "lock")) or whole[str(part)] == content
    monkeypatch.undo()
    assert files(stage(packed, tmp_path, say=quiet)) == whole


def _stage(packed: Path, disk: Path, said: "multiprocessing.Queue[str]") -> None:
    stage(packed, disk, say=said.put)


def test_two_jobs_at_once(packed: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    said: multiprocessing.Queue[str] = context.Queue()
    jobs = [context.Process(target=_stage, args=(packed, tmp_path, said)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    lines = [said.get(timeout=5) for _ in range(3)]
    while not said.empty():
        lines.append(said.get())
    assert sum("GB/s" in line for line in lines) == 1
    assert sum("already there" in line for line in lines) == 2
    (home,) = tmp_path.iterdir()
    assert files(home / packed.name) == files(packed)


def test_what_cannot_be_copied_stays_where_it_is(
    folder: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotStaged, match=f"Pack it first: python launch/pack.py {folder} {folder}-packed"):
        stage(folder, tmp_path)
    with pytest.raises(NotStaged, match="there is no such folder"):
        stage(tmp_path / "nowhere", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotStaged, match="is not copied to"):
        stage(packed, tmp_path / "file")
    damaged = tmp_path / "damaged"
    shutil.copytree(packed, damaged)
    os.truncate(damaged / "train" / "shard-00000.tar", 512)
    with pytest.raises(NotStaged, match="has not the"):
        stage(damaged, tmp_path / "disk", say=quiet)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda path: usage._replace(free=(1 << 30) + 1000))
    with pytest.raises(NotStaged, match=r"it takes 0\.\d\d MB, and 1\.07 GB are free"):
        stage(packed, tmp_path / "full", say=quiet)
    assert not list((tmp_path / "full").rglob("*.tar"))


def test_a_folder_of_somebody_elses_is_not_trusted(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = stage(packed, tmp_path, say=quiet).parent
    mine = os.getuid()
    target = tmp_path / f"rexnet-{mine + 1}-{home.name.rpartition('-')[2]}"
    home.rename(target)
    monkeypatch.setattr(staging.os, "getuid", lambda: mine + 1)
    with pytest.raises(NotStaged, match="belongs to another user"):
        stage(packed, tmp_path, say=quiet)
