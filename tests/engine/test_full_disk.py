"""A process that gives the others up ends, whatever it cannot write then."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from launch.engine.distributed import World, write_recorded
from launch.engine.preemption import StopRequest
from launch.engine.pulse import Pulse


class Ended(BaseException):
    """In the place of the process's end."""


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def end_process(code: int) -> None:
    raise Ended(code)


def test_it_ends_where_its_last_words_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", end_process)
    pulse = Pulse(0, hosts=("one",), store=None)
    stop = StopRequest(end=lambda: None)
    pulse.arm(timeout=0.0, stop=stop, end=full, leave=lambda: None)
    with pytest.raises(Ended):
        pulse._end([], "rank 1 is gone", blamed=())


def test_it_says_why_where_collectives_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = cast(Any, torch._C)._distributed_c10d
    monkeypatch.setattr(os, "_exit", end_process)
    monkeypatch.setattr(native, "_dump_nccl_trace", lambda: b"collectives", raising=False)
    world = cast(
        World, SimpleNamespace(recorder=str(tmp_path / "gone" / "rank_"), place=SimpleNamespace(rank=0))
    )
    said: list[str] = []

    def end(message: str, hosts: Sequence[str]) -> None:
        said.append(message)

    pulse = Pulse(0, hosts=("one",), store=None)
    stop = StopRequest(end=lambda: None)
    pulse.arm(timeout=0.0, stop=stop, end=end, leave=lambda: write_recorded(world))
    with pytest.raises(Ended):
        pulse._end([], "rank 1 is gone", blamed=())
    assert said == ["rank 1 is gone"]
