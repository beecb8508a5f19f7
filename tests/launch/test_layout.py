"""The layout of a run: asked for, found at the first start and kept, or assumed and said so."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from launch import layout as choosing
from launch.config import Run
from launch.engine.config import LayoutName, Numerics
from launch.layout import choose_layout
from tests.launch.program import records, run


def session(*, layout: LayoutName, asked: LayoutName = "auto", steps: int = 10**6) -> Any:
    base = Run()
    return SimpleNamespace(
        run=replace(base, numerics=Numerics(layout=layout)),
        asked=replace(base, numerics=Numerics(layout=asked)),
        world=SimpleNamespace(
            place=SimpleNamespace(first=True), host_group=dist.group.WORLD, device=torch.device("cpu")
        ),
        precision="fp32",
        course=SimpleNamespace(steps=steps),
        plan=SimpleNamespace(accumulation=1),
        new_state=None,
        constant_batch=lambda: None,
    )


@pytest.fixture(autouse=True)
def alone() -> Any:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_asked_for_or_kept() -> None:
    said: list[str] = []
    given = session(layout="contiguous", asked="contiguous")
    assert choose_layout(given, say=said.append) == ("contiguous", "asked for")
    kept = session(layout="contiguous-8")
    assert choose_layout(kept, say=said.append) == ("contiguous-8", "kept from the first start")


def test_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"channels-last": 0.05, "channels-last-8": 0.04, "contiguous": 0.06, "contiguous-8": 0.07}
    monkeypatch.setattr(choosing, "time_layouts", lambda *_, **__: times)
    said: list[str] = []
    layout, why = choose_layout(session(layout="auto"), say=said.append)
    assert layout == "channels-last-8"
    assert why.startswith("measured, ms per micro-batch: channels-last 50.0, channels-last-8 40.0,")
    assert said[-1] == f"layout {layout}, {why}"


def test_assumed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    layout, why = choose_layout(session(layout="auto", steps=100), say=said.append)
    assert (layout, why) == ("channels-last", "assumed: timing it does not pay in so short a run")
    monkeypatch.setattr(choosing, "time_layouts", lambda *_, **__: None)
    layout, why = choose_layout(session(layout="auto"), say=said.append)
    assert why.startswith("assumed: a step here takes too long")
    assert said[-1].startswith("layout channels-last, assumed")


@pytest.mark.slow
def test_all_ranks_take_what_rank_0_measured(tmp_path: Path) -> None:
    flags = ["--epochs", 90, "--variant", "rexnet_0.1", "--batch", 16, "--micro-batch", 8, "--image-size", 32]
    done = run("train", "demo", *flags, "--smoke", processes=2, cwd=tmp_path, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("layout ")]
    assert ", measured, ms per micro-batch: channels-last" in line and "contiguous-8" in line
    assert done.stdout.splitlines()[-1].startswith("SMOKE OK")


@pytest.mark.slow
def test_fp16_at_align_8_trains_as_fp32_does(tmp_path: Path) -> None:
    """What a V100 runs, on a CPU: half precision under autocast, the moving loss scale, aligned channels."""
    sizes = ["--epochs", 0.05, "--batch", 4, "--micro-batch", 4, "--image-size", 32, "--lr", 0.005]
    losses = {}
    for precision in ("fp32", "fp16"):
        flags = ["--layout", "channels-last-8", "--precision", precision, "--out", tmp_path / precision]
        done = run("train", "demo", *sizes, *flags, timeout=250)
        assert done.returncode == 0, done.stderr[-3000:]
        lines = records(tmp_path / precision, "train")
        losses[precision] = [line["train/loss"] for line in lines]
    assert lines[-1]["step"] == 50
    assert lines[-1]["health/skipped_steps"] < 10
    assert lines[-1]["health/loss_scale"] == 65536 / 2 ** lines[-1]["health/skipped_steps"]
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.1)
    assert losses["fp16"] != losses["fp32"]
