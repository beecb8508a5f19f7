"""From the command to the first optimizer step, on a data set of 50 000 images."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import synthetic
from tests.launch.program import records, run

IMAGES = 50_000
FLAGS = ("--variant", "rexnet_0.2", "--image-size", 32, "--batch", 16, "--micro-batch", 16, "--log-every", 1)
FLAGS = (*FLAGS, "--epochs", 3 * 16 / IMAGES, "--eval-batch", 50)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set whose files stand in the train split under many names."""
    made = synthetic.make(tmp_path_factory.mktemp("startup") / "set", classes=10, train=1000, val=50)
    for file in sorted((made / "train").rglob("*.jpg")):
        for copy in range(1, IMAGES // 1000):
            os.link(file, file.with_name(f"{file.stem}-{copy}.jpg"))
    return made


def seconds_to_first_step(data: Path, out: Path, cache: Path, *, processes: int) -> float:
    start = time.time()
    done = run(
        "train",
        "demo",
        "--data",
        data,
        "--out",
        out,
        *FLAGS,
        processes=processes,
        REXNET_CACHE=str(cache),
        WANDB_MODE="offline",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return records(out, "train")[0]["time"] - start


def soonest(data: Path, out: Path, cache: Path, *, processes: int, limit: float) -> float:
    """The best of at most three starts: what else the machine does can only add to a start's seconds."""
    found = math.inf
    for attempt in range(3):
        place = out.with_name(f"{out.name}-{attempt}")
        found = min(found, seconds_to_first_step(data, place, cache, processes=processes))
        if found < limit:
            break
    return found


def import_seconds() -> float:
    """The least of three imports of torch, which every start has to wait for: 1.4 s on a machine at rest."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        found.append(time.perf_counter() - start)
    return min(found)


@pytest.mark.slow
def test_the_first_step_comes_soon(data: Path, tmp_path: Path) -> None:
    """Within 5 s, 8 by torchrun and 15 with indexing, where torch is imported in 1.4 s."""
    cache, unit = tmp_path / "cache", import_seconds()
    indexing = seconds_to_first_step(data, tmp_path / "first", cache, processes=0)
    indexed = soonest(data, tmp_path / "second", cache, processes=0, limit=3.5 * unit)
    under_torchrun = soonest(data, tmp_path / "third", cache, processes=1, limit=5.5 * unit)
    print(f"first step after {indexing:.1f} s, indexed {indexed:.1f} s, by torchrun {under_torchrun:.1f} s")
    assert indexing < 10.5 * unit
    assert indexed < 3.5 * unit
    assert under_torchrun < 5.5 * unit
