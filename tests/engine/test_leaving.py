"""Worlds end without a rank that fails on its way out."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from launch.engine.distributed import leave, record_collectives
from tests.engine import ranks

WORLDS, AT_ONCE = 100, 4


def work_and_leave() -> None:
    """What each rank does: asynchronous and synchronous sums, of which gloo's threads hold the last."""
    group = dist.new_group(backend="gloo")
    works = [dist.all_reduce(torch.ones(1000), group=group, async_op=True) for _ in range(20)]
    for work in works:
        assert work is not None
        work.wait()
    dist.all_reduce(torch.ones(10))
    leave(0)


@pytest.mark.slow
def test_a_hundred_worlds_end_cleanly(tmp_path: Path) -> None:
    codes: list[int] = []
    for first in range(0, WORLDS, AT_ONCE):
        worlds = []
        for number in range(first, first + AT_ONCE):
            folder = tmp_path / str(number)
            folder.mkdir()
            worlds.append(ranks.begin(work_and_leave, folder=folder))
        for world in worlds:
            for process in world:
                process.join(120)
                codes.append(process.exitcode)
    assert len(codes) == 2 * WORLDS
    assert [code for code in codes if code != 0] == []


@pytest.mark.parametrize(("version", "older"), [("2.10.0+cu128", True), ("2.11.0", False), ("2.13.0", False)])
def test_collectives_are_recorded_by_the_names_that_this_torch_knows(
    version: str, older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"TORCH_FR_DUMP_TEMP_FILE", "TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_DUMP_ON_TIMEOUT"}
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(os, "environ", {"TORCH_NCCL_DUMP_ON_TIMEOUT": "0"})
    prefix = record_collectives(tmp_path / "nccl")
    assert prefix == f"{tmp_path}/nccl/rank_" and (tmp_path / "nccl").is_dir()
    assert set(os.environ) == names | ({"TORCH_NCCL_TRACE_BUFFER_SIZE"} if older else set())
    assert os.environ["TORCH_NCCL_DUMP_ON_TIMEOUT"] == "0" and os.environ["TORCH_FR_BUFFER_SIZE"] == "2000"
