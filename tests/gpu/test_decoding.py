"""Decoding on a GPU: tried, timed, and by whole images where crops alone fail: `pytest -m gpu`."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import graph, synthetic
from pipeline.config import Augmentation, Feeding
from pipeline.index import open_splits
from pipeline.loader import Share, train_batches
from pipeline.probe import decode_drawn, find_working
from pipeline.trial import find_fault
from tests.launch.program import REPOSITORY, environment, run
from tests.pipeline import stand_ins

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)
FLAGS = ("--epochs", 1, "--batch", 32, "--micro-batch", 32, "--image-size", 64, "--variant", "rexnet_0.2")

CRASHES = """
import sys
from functools import partial
import torch
from launch import decoding
from pipeline import probe, trial
from tests.pipeline import stand_ins

def tried(placement):
    assert not torch._C._cuda_hasPrimaryContext(0), "this process has touched the GPU before the trial"
    crashes = placement.window == "roi"
    return trial.find_fault(stand_ins.crash if crashes else partial(probe.decode_drawn, placement))

decoding.find_working = partial(probe.find_working, probe=tried)
from launch.train import main
from launch.engine.distributed import leave
leave(main(sys.argv[1:]))
"""
"""The training program on a machine whose GPU crashes over crops alone."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("decoding") / "set", classes=4, train=200, val=20)


def images(data: Path, **feeding: Any) -> torch.Tensor:
    train, _ = open_splits(data, say=lambda line: None)
    batches = train_batches(
        train,
        augmentation=Augmentation(),  # operations would enlarge what rounding leaves
        feeding=Feeding(**feeding),
        seed=0,
        share=Share(batch=64, micro_batch=32, rank=0, world_size=1),
        device=GPU,
        image_size=lambda step: 96,
        from_step=0,
        to_step=2,
    )
    return torch.cat([batch.images.cpu() for batch in batches])


@pytest.mark.parametrize("placement", graph.placements(GPU, decode="auto"), ids=["roi", "crop", "cpu"])
def test_the_trial_goes_well_in_a_process_of_its_own(placement: graph.Placement) -> None:
    assert find_fault(partial(decode_drawn, placement)) is None


def test_crops_alone_are_those_of_whole_images(data: Path) -> None:
    """Up to rounding, and chroma at the edges."""
    alone, cut = images(data, decode="gpu", window="roi"), images(data, decode="gpu", window="crop")
    assert alone.shape == cut.shape and float((alone - cut).abs().mean()) < 0.05
    by_cpu = images(data, decode="cpu")
    assert images(data, decode="cpu", window="crop").equal(by_cpu)
    assert float((cut - by_cpu).abs().mean()) < 0.05


def test_a_crash_over_crops_alone_leaves_whole_images() -> None:
    trials = {
        "roi": stand_ins.crash,
        "crop": partial(decode_drawn, graph.place(GPU, decode="gpu", window="crop")),
    }
    found = find_working(
        graph.placements(GPU, decode="auto"), probe=lambda placement: find_fault(trials[placement.window])
    )
    assert found.placement == graph.place(GPU, decode="gpu", window="crop")
    assert found.faults == ("decoding crops alone on the GPU ends by SIGSEGV",)


def test_a_run_survives_the_crash_and_keeps_what_it_found(data: Path, tmp_path: Path) -> None:
    def start(*flags: object) -> tuple[str, dict[str, str]]:
        words = ["demo", "--data", data, *FLAGS, "--out", tmp_path / "run", *flags]
        done = subprocess.run(
            [sys.executable, "-c", CRASHES, *map(str, words)],
            capture_output=True, text=True, cwd=REPOSITORY, env=environment(), timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout, json.loads((tmp_path / "run" / "run.json").read_text())["found"]

    line = "decode gpu, window crop, since decoding crops alone on the GPU ends by SIGSEGV"
    shown, found = start()
    assert shown.count(line) == 1
    assert (found["decode"], found["window"]) == ("gpu", "crop") and line.endswith(found["decode_found"])
    (tmp_path / "run" / "model.safetensors").unlink()
    for part in ("last.pt", "previous.pt"):
        (tmp_path / "run" / part).unlink(missing_ok=True)
    shown, again = start()
    assert line not in shown and again == found | {"layout_found": again["layout_found"]}


def test_measuring_tells_both_figures_and_is_kept(data: Path, tmp_path: Path) -> None:
    words = ("demo", "--data", data, *FLAGS, "--decode", "measure", "--out", tmp_path / "run")
    done = run("train", *words, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "run" / "run.json").read_text())["found"]
    assert found["decode_found"].startswith("measured, images/s of a process: gpu ")
    rates = dict(part.rsplit(" ", 1) for part in found["decode_found"].partition(": ")[2].split(", "))
    assert found["decode"] == max(rates, key=lambda name: float(rates[name])) and rates.keys() == {
        "gpu",
        "cpu",
    }
    assert (
        done.stdout.count(f"decode {found['decode']}, window {found['window']}, {found['decode_found']}") == 1
    )
    for part in ("model.safetensors", "last.pt", "previous.pt"):
        (tmp_path / "run" / part).unlink(missing_ok=True)
    done = run("train", *words, timeout=300)
    assert done.returncode == 0 and "timing to decode" not in done.stdout, done.stderr[-3000:]
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["found"]["decode_found"]
        == found["decode_found"]
    )
