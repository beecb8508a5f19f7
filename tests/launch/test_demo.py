"""The demo as the README promises it."""

from pathlib import Path

import pytest

from tests.launch.program import records, run


@pytest.mark.slow
def test_the_demo_ends_above_90_percent(tmp_path: Path) -> None:
    done = run("train", processes=1, cwd=tmp_path, timeout=1200, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("This is the demo") and "launch/train.py rexnet_1.0 --data" in done.stdout
    (folder,) = (tmp_path / "runs").glob("demo-*")
    final = records(folder, "eval")[-1]
    assert final["weights"] == "ema" and final["eval/images"] == 600
    assert final["eval/acc1"] > 90
