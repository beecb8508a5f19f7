"""What the ablation takes away is there to be taken away, and a turn without it trains."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from launch.cli import read_command
from launch.engine.config import Optim
from launch.engine.optimizer import make_optimizer
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average
from launch.timing.program import Watched
from pipeline import synthetic
from tests.ablation import FLAGS, PATCHES
from tests.launch.program import REPOSITORY


@pytest.mark.parametrize("name", PATCHES)
def test_what_is_replaced_is_there(name: str) -> None:
    target, stand_in = PATCHES[name]
    with mock.patch(target, stand_in) as put:
        assert put is stand_in


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_are_understood(name: str) -> None:
    usual, changed = (read_command(["rexnet_1.0", *flags]) for flags in ((), FLAGS[name]))
    assert usual is not None and changed is not None and usual.run != changed.run


def trained() -> list[Any]:
    """Weights and their average after two steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    average, stats = Average(model), RunningStats(model)
    optimizer = make_optimizer(model, Optim())
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(2, 3, 8, 8).cumsum(2)).square().mean().backward()
        optimizer.step()
        average.update(model, stats, decay=0.5, skipped=torch.tensor(False))
    return [*model.parameters(), *average.weights]


def test_the_stand_ins_compute_the_same() -> None:
    results: list[list[Any]] = []
    for names in ((), ("fused SGD", "average of all tensors at once")):
        with ExitStack() as without:
            for name in names:
                without.enter_context(mock.patch(*PATCHES[name]))
            results.append(trained())
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_a_table_of_ways(tmp_path: Path) -> None:
    data = synthetic.make(tmp_path / "set", classes=3, train=60, val=6)
    small = ["--variant", "rexnet_0.2", "--image-size", "32", "--batch", "8", "--micro-batch", "8"]
    words = ["demo", "--data", str(data), *small, "--layout", "channels-last", "--steps", "20"]
    program = [sys.executable, "-m", "tests.ablation", *words, "--rounds", "1", "--only", "kept memory"]
    told = [line for _, line in Watched(program, cwd=REPOSITORY, timeout=240).lines]
    assert any(line.startswith("| without kept memory | ") for line in told), told
