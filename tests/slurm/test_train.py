"""The trainer itself on two nodes, over gloo."""

import re
from pathlib import Path

import pytest

from pipeline.synthetic import make
from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.slurm
SMALL = ("--smoke", "--batch", "8", "--micro-batch", "4", "--image-size", "32", "--workers", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("images") / "set", train=60, val=20)


def check(log: str) -> None:
    assert log.rstrip().splitlines()[-1].startswith("[job ")
    assert re.search(r"^SMOKE OK  \d+ images/s  data wait [\d.]+ %$", log, re.MULTILINE), log
    assert "ended: done, step 25, smoke test passed (srun: 0)" in log
    assert "Traceback" not in log


def test_smoke_from_the_checkout(
    cluster: Cluster, real_checkout: Path, environment: dict[str, str], images: Path
) -> None:
    number = cluster.submit(
        *("slurm/rexnet_2.0.sh", *SMALL, "--data", str(images)), cwd=real_checkout, env=environment
    )
    record = cluster.finish(number, seconds=240)
    log = (real_checkout / f"rexnet_2.0-{number}.out").read_text()
    assert record["JobState"] == "COMPLETED", log
    check(log)
    assert [path.name.endswith("-smoke") for path in (real_checkout / "runs").glob("rexnet_2.0-*")] == [True]


@pytest.mark.slow
def test_smoke_from_the_root_folder(
    cluster: Cluster, real_checkout: Path, environment: dict[str, str], images: Path, tmp_path: Path
) -> None:
    """The submit folder says nothing about the checkout, and nothing is written into it."""
    before = sorted(Path("/").iterdir())
    number = cluster.submit(
        *(f"--output={tmp_path}/log", str(real_checkout / "slurm" / "rexnet_2.0.sh"), *SMALL),
        *("--data", str(images), "--out", str(tmp_path / "out")),
        cwd=Path("/"),
        env=environment,
    )
    record = cluster.finish(number, seconds=240)
    log = (tmp_path / "log").read_text()
    assert record["JobState"] == "COMPLETED", log
    check(log)
    assert sorted(Path("/").iterdir()) == before
