"""Between two lines of metrics nothing waits for the GPU: `pytest -m gpu`."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import synthetic
from tests.launch.program import REPOSITORY, environment, records

pytestmark = pytest.mark.gpu

COUNTING = """
import sys
import warnings
import torch
from launch.engine.loop import Loop

waits = 0

def count(message, *rest, **named):
    global waits
    waits += "synchronizing CUDA operation" in str(message)

run = Loop.run

def watched(self, **given):
    warnings.simplefilter("always")
    warnings.showwarning = count
    torch.cuda.set_sync_debug_mode("warn")
    try:
        return run(self, **given)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        print("waits:", waits)

Loop.run = watched
from launch.train import main
from launch.engine.distributed import leave
leave(main(sys.argv[1:]))
"""
"""The training program, telling how often torch waited for the GPU while the loop ran."""


@pytest.mark.parametrize("precision", ["fp32", "fp16", "auto"])
def test_four_times_the_steps_wait_no_more_often(precision: str, tmp_path: Path) -> None:
    """Both runs have one line of metrics, one evaluation and one checkpoint: these wait, steps do not."""
    waits, steps = [], []
    for images in (160, 640):
        data = synthetic.make(tmp_path / f"set-{images}", classes=4, train=images, val=16)
        out = tmp_path / f"run-{images}"
        words = ["demo", "--data", data, "--variant", "rexnet_0.2", "--precision", precision, "--out", out]
        words += ["--epochs", 1, "--batch", 32, "--micro-batch", 16, "--image-size", 64, "--log-every", 1000]
        done = subprocess.run(
            [sys.executable, "-c", COUNTING, *map(str, words)],
            capture_output=True, text=True, cwd=REPOSITORY, env=environment(), timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        (told,) = [line for line in done.stdout.splitlines() if line.startswith("waits: ")]
        waits.append(int(told.removeprefix("waits: ")))
        steps.append([record["step"] for record in records(out, "train")])
    assert steps == [[5], [20]]
    assert waits[0] == waits[1] > 0
