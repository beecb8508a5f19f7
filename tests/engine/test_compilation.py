"""Compiled passes are used where they are right and faster, and else it is said why not."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from launch.engine import compilation
from launch.engine.compilation import find_fault
from launch.engine.config import Optim
from launch.engine.layout import find_layout
from launch.engine.optimizer import make_optimizer
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import make_scaler
from rexnet.model import create_model
from tests.engine.micro import micro_batch
from tests.launch.program import run

pytestmark = pytest.mark.usefixtures("alone")

OPTIM = Optim()


def state() -> TrainState:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(8, 5))
    return TrainState(
        model=model,
        stats=RunningStats(model),
        average=Average(model),
        optimizer=make_optimizer(model, OPTIM),
        scaler=make_scaler("fp32", device=torch.device("cpu"), scale=1.0),
    )


def fault() -> str | None:
    return find_fault(
        state(), micro_batch(0), layout=find_layout("channels-last"), optim=OPTIM, precision="fp32"
    )


class Through(nn.Module):
    """A stand-in for a compiled network."""

    def __init__(self, model: nn.Module, change: Callable[[Tensor], Tensor]):
        super().__init__()
        self.model, self.change = model, change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.model(images))


def slowed(logits: Tensor) -> Tensor:
    time.sleep(0.02)
    return logits


def failing(logits: Tensor) -> Tensor:
    raise RuntimeError("no Triton\nand a long story")


def stand_in(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    monkeypatch.setattr(compilation, "compiled", lambda model: Through(model, change))


def test_wrong_passes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda logits: 2 * logits)
    assert (told := fault()) is not None and told.startswith("compiled passes are wrong here: of the loss")


def test_a_gradient_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda logits: logits.detach() + 0 * logits)
    assert (told := fault()) is not None and "of the gradients, the relative error is 1" in told


class Exactly(nn.Module):
    """A stand-in for a compiled network that rounds nowhere."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.model(images)


def noisy() -> str | None:
    """In bf16 rounding alone moves the gradients of a deep network by much."""
    torch.manual_seed(0)
    model = create_model("rexnet_0.2", num_classes=5)
    kept = replace(
        state(),
        model=model,
        average=Average(model),
        stats=RunningStats(model),
        optimizer=make_optimizer(model, OPTIM),
    )
    return find_fault(
        kept, micro_batch(0), layout=find_layout("channels-last"), optim=OPTIM, precision="bf16"
    )


def test_what_rounds_less_than_the_plain_network_is_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "compiled", Exactly)
    told = noisy()
    assert told is None or told.startswith("compiled steps are no faster here: ")


def test_what_is_wrong_in_half_precision_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda logits: logits.detach() + 0 * logits)
    told = noisy()
    assert told is not None and "of the gradients, the relative error is 1, and 0." in told, told


def test_no_memory_to_compare_with_fp32_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda logits: logits)

    def full(logits: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("of a GPU")

    kept = state()
    told = find_fault(
        replace(kept, model=Through(kept.model, full)),
        micro_batch(0),
        layout=find_layout("channels-last"),
        optim=OPTIM,
        precision="bf16",
    )
    assert told is not None and "do not fit into this GPU's memory" in told


def test_values_that_are_not_finite_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda logits: logits * torch.nan)
    assert (told := fault()) is not None and "relative error is nan" in told


def test_slower_passes_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, slowed)
    assert (told := fault()) is not None and told.startswith("compiled steps are no faster here: ")


def test_what_the_compiler_says_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, failing)
    assert fault() == "torch.compile fails here (RuntimeError: no Triton)"


def test_the_faster_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda logits: logits)
    ticks = iter([0.0, 1.0] + [0.0, 2.0, 2.0, 3.0] * 8)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert fault() is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile on a CPU needs g++")
def test_torch_compiles_the_same_function() -> None:
    """Dropout's draws, too. Which is faster depends on the machine."""
    told = fault()
    assert told is None or told.startswith("compiled steps are no faster here: ")


@pytest.mark.slow
def test_a_run_without_a_compiler_goes_on_and_says_so(tmp_path: Path) -> None:
    flags: list[Any] = ["--variant", "rexnet_0.1", "--image-size", 32, "--epochs", 0.1, "--compile"]
    done = run("train", "demo", *flags, "--out", tmp_path / "run", CXX="/nowhere/g++")
    assert done.returncode == 0, done.stderr[-3000:]
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("--compile is left out, on ")]
    found = json.loads((tmp_path / "run" / "run.json").read_text())["found"]
    assert found["compile"] is False and found["compile_found"] in told and "InvalidCxxCompiler" in told
