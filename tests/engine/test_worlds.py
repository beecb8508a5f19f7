"""The same run on one, two and three processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import synthetic

WORKER = Path(__file__).parent / "lockstep_world.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("worlds") / "set", classes=4, train=240, val=52)


def run_world(processes: int, *arguments: object) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", str(WORKER)]
    environment = {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=inherited(environment),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def inherited(changes: dict[str, str]) -> dict[str, str]:
    import os

    return os.environ | changes


@pytest.mark.parametrize(("batch", "processes"), [(32, 2), pytest.param(48, 3, marks=pytest.mark.slow)])
def test_worlds_agree_in_lock_step(data: Path, tmp_path: Path, batch: int, processes: int) -> None:
    run_world(1, data, tmp_path, batch, "lead")
    run_world(processes, data, tmp_path, batch, "follow")
    one, more = (json.loads((tmp_path / f"world-{n}.json").read_text()) for n in (1, processes))
    assert len(more["distances"]) == 20
    assert max(more["distances"]) < 1e-10
    assert [one[k] for k in ("hits1", "hits5", "images")] == [more[k] for k in ("hits1", "hits5", "images")]
    assert one["images"] == 52
    assert one["hits5"] == 52  # four classes: every label is among the first five
