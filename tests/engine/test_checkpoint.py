"""Checkpoints: what is written, what is found damaged, and a writer that fails, dies or is left alone."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from launch.engine.checkpoint import Checkpoints
from launch.engine.faults import Fault
from launch.engine.keeper import Keeper
from launch.engine.writer import Writer
from tests.launch.program import REPOSITORY

KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8)


class State:
    """Looks like a training state: tensors of all kinds, laid out in all ways, and plain values."""

    def __init__(self, step: int = 0):
        self.step = step

    def tensors(self) -> dict[str, Any]:
        torch.manual_seed(self.step)
        wide = torch.randn(6, 7, 5, 3)
        kinds = {str(kind): (100 * torch.rand(3, 5)).to(kind) for kind in KINDS}
        laid = {
            "channels": wide.to(memory_format=torch.channels_last),
            "corner": wide[:5, :6],
            "t": wide.permute(3, 2, 1, 0),
        }
        odd = {"scalar": torch.tensor(self.step), "none": torch.zeros(0, 3), "flag": torch.tensor([True])}
        plain = {"step": self.step, "lr": 0.1, "name": "ü", "bad": [("train", 1)], 0: None}
        return {"kinds": kinds, "laid": laid, "odd": odd, **plain}


def kept(folder: Path, *steps: int, fields: dict[str, Any] | None = None) -> Checkpoints:
    """Checkpoints of a folder in which a state was saved at `steps`."""
    checkpoints = Checkpoints(folder, fields=fields or {}, say=lambda line: None)
    state = State()
    with closing(Writer()) as writer:
        keeper = Keeper(checkpoints, state, writer=writer)  # type: ignore[arg-type]
        for state.step in steps:
            assert [name for name, _ in keeper(due=True, wait=True)] == ["checkpoint"]
    return checkpoints


def bits(content: Any) -> list[Any]:
    leaves, shape = torch.utils._pytree.tree_flatten(content)
    return [
        (v.dtype, v.shape, v.contiguous().view(torch.uint8).numpy().tobytes())
        if isinstance(v, torch.Tensor) and v.ndim
        else v
        for v in leaves
    ] + [str(shape)]


@pytest.fixture
def writer() -> Iterator[Writer]:
    with closing(Writer()) as started:
        yield started


def limit_files(writer: Writer, size: int) -> None:
    """As on a full disk, the writer's next write past `size` bytes of a file fails."""
    resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_reads_what_was_written(tmp_path: Path, mapped: bool) -> None:
    checkpoints = kept(tmp_path, 1, 2)
    for file, step in ((checkpoints.last, 2), (checkpoints.previous, 1)):
        content = torch.load(file, weights_only=True, mmap=mapped)
        assert bits(content["state"]) == bits(State(step).tensors())
        assert all(t.is_contiguous() for t in content["state"]["laid"].values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_torch_writes_what_is_read(tmp_path: Path) -> None:
    """The checksums are those of the format, not of this program."""
    checkpoints = Checkpoints(tmp_path, fields={}, say=print)
    torch.save(checkpoints.content(State(3)), tmp_path / "last.pt")  # type: ignore[arg-type]
    assert (loaded := checkpoints.load()) is not None and loaded["step"] == 3


def test_any_damage_is_found(tmp_path: Path) -> None:
    """A flipped bit anywhere: what is loaded is what was saved, or the checkpoint before it."""
    last = kept(tmp_path, 1, 2).last
    whole, ours, before = last.read_bytes(), bits(State(2).tensors()), bits(State(1).tensors())
    found = 0
    for position in range(0, len(whole), 23):
        torn = bytearray(whole)
        torn[position] ^= 1 << position % 8
        last.write_bytes(torn)
        checkpoints = Checkpoints(tmp_path, fields={}, say=lambda line: None)
        loaded = bits(checkpoints.load())
        assert loaded == (before if checkpoints.damaged else ours)
        found += bool(checkpoints.damaged)
    assert found > len(whole) / 23 / 3  # the rest is padding
    at = whole.index(bytes(State(2).tensors()["kinds"]["torch.float64"].numpy().tobytes()))
    for content in (b"", b"x" * len(whole), whole[:-1], whole[: len(whole) // 2], bytes(len(whole)),
                    whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):  # fmt: skip
        last.write_bytes(content)
        lines: list[str] = []
        checkpoints = Checkpoints(tmp_path, fields={}, say=lines.append)
        assert bits(checkpoints.load()) == before
        assert len(lines) == 1 and f"{last} IS DAMAGED" in lines[0]


def test_a_damaged_one_does_not_become_the_one_before(tmp_path: Path) -> None:
    last = kept(tmp_path, 1, 2).last
    last.write_bytes(b"garbage")
    checkpoints = Checkpoints(tmp_path, fields={}, say=lambda line: None)
    checkpoints.load()
    checkpoints.mend()
    assert (tmp_path / "damaged.pt").read_bytes() == b"garbage"
    assert last.read_bytes() == checkpoints.previous.read_bytes()
    kept(tmp_path, 3)
    assert [torch.load(f, weights_only=True)["state"]["step"] for f in (last, checkpoints.previous)] == [3, 1]


def test_none_left_is_said(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path, 1, 2)
    for file in (checkpoints.last, checkpoints.previous):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="no whole checkpoint is left"):
        checkpoints.load()


def test_another_run_is_refused_by_its_fields(tmp_path: Path) -> None:
    kept(tmp_path, 1, fields={"seed": 0, "optim": {"lr": 1.0}, "data": {"train": "a"}})
    other = {"seed": 0, "optim": {"lr": 0.5}, "data": {"train": "b"}}
    with pytest.raises(ValueError, match=r"what differs: optim.lr 1.0 -> 0.5, data.train 'a' -> 'b'\. Take"):
        Checkpoints(tmp_path, fields=other, say=print).load()
    torch.save({"format": 0, "fields": other, "state": {}}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="format 0, but this version reads 3"):
        Checkpoints(tmp_path, fields=other, say=print).load()


def test_training_goes_on_while_the_writer_works(tmp_path: Path, writer: Writer) -> None:
    checkpoints, state = Checkpoints(tmp_path, fields={}, say=print), State()
    keeper = Keeper(checkpoints, state, writer=writer)  # type: ignore[arg-type]
    state.step = 1
    writer.process.send_signal(signal.SIGSTOP)
    assert list(keeper(due=True, wait=False)) == []
    state.step = 2
    assert list(keeper(due=True, wait=False)) == []  # put off, not waited for
    writer.process.send_signal(signal.SIGCONT)
    end = time.monotonic() + 30
    told: list[Any] = []
    while keeper.saved != 2 and time.monotonic() < end:
        told += keeper(due=False, wait=False)  # without a new occasion
    assert [facts["of"] for _, facts in told] == [1, 2]


def test_a_writer_that_dies_is_noticed_and_replaced(tmp_path: Path, writer: Writer) -> None:
    checkpoints, state = Checkpoints(tmp_path, fields={}, say=print), State()
    keeper = Keeper(checkpoints, state, writer=writer)  # type: ignore[arg-type]
    state.step = 1
    list(keeper(due=True, wait=True))
    writer.process.send_signal(signal.SIGSTOP)
    state.step = 2
    list(keeper(due=True, wait=False))
    writer.process.kill()
    writer.process.wait()
    ((name, facts),) = keeper(due=False, wait=False)
    assert name == "checkpoint failed" and keeper.failed == 1
    assert facts == {"of": 2, "cause": "the process that writes ended by signal 9", "failed_saves": 1}
    writer.process.kill()
    writer.process.wait()
    assert [name for name, _ in keeper(due=True, wait=True)] == ["checkpoint"]
    assert bits(checkpoints.load()) == bits(State(2).tensors())


def test_a_full_disk_stops_training_only_at_its_end(tmp_path: Path, writer: Writer) -> None:
    checkpoints, state = Checkpoints(tmp_path, fields={}, say=print), State()
    keeper = Keeper(checkpoints, state, writer=writer)  # type: ignore[arg-type]
    state.step = 1
    list(keeper(due=True, wait=True))
    limit_files(writer, 1000)
    state.step = 2
    assert list(keeper(due=True, wait=False)) == []
    while writer.busy:
        told = list(keeper(due=False, wait=False))
    assert [name for name, _ in told] == ["checkpoint failed"] and "File too large" in told[0][1]["cause"]
    with pytest.raises(
        Fault, match=r"step 2 cannot be written to .* File too large; the newest is of step 1"
    ):
        list(keeper(due=True, wait=True))
    assert bits(checkpoints.load()) == bits(State(1).tensors())
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    limit_files(writer, resource.RLIM_INFINITY)
    list(keeper(due=True, wait=True))
    assert bits(checkpoints.load()) == bits(State(2).tensors())


def test_nothing_is_put_in_place_once_the_claim_is_gone(tmp_path: Path, writer: Writer) -> None:
    checkpoints, state = Checkpoints(tmp_path, fields={}, say=print), State()
    keeper = Keeper(checkpoints, state, writer=writer, claim=tmp_path / "lock.1")  # type: ignore[arg-type]
    state.step = 1
    with pytest.raises(Fault, match="taken over"):
        list(keeper(due=True, wait=True))
    assert list(tmp_path.iterdir()) == []


ORPHAN = f"""
import os, socket, sys, time
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from launch.engine.writer import Order, Writer
writer, last = Writer(), Path(sys.argv[1]) / "last.pt"
os.mkfifo(last.with_suffix(f".{{socket.gethostname()}}-{{writer.process.pid}}.tmp"))
writer.send(Order(last=last, previous=last, claim=None, pieces=[]))
print(writer.process.pid, flush=True)
time.sleep(60)
"""


def test_the_writer_survives_stop_signals_but_not_the_trainer(tmp_path: Path) -> None:
    """In the middle of a save: it waits for a reader that never comes."""
    command = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        pid = int(trainer.stdout.readline())
        time.sleep(0.3)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(pid, number)
        time.sleep(0.3)
        alive = Path(f"/proc/{pid}").exists()
        trainer.kill()
    assert alive
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
