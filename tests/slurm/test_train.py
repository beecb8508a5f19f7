"""The trainer itself on two nodes, over gloo."""

import json
import re
import time
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


@pytest.mark.slow
@pytest.mark.parametrize("how", ["warned", "preempted"])
def test_a_stopped_run_goes_on_to_its_end(
    cluster: Cluster, real_checkout: Path, environment: dict[str, str], images: Path, how: str
) -> None:
    """One job, one log, one run folder, two attempts."""
    flags = ("--epochs", "20", "--batch", "8", "--micro-batch", "4", "--image-size", "32", "--workers", "1")
    number = cluster.submit(
        *("slurm/rexnet_1.0.sh", *flags, "--data", str(images)),
        cwd=real_checkout,
        env=environment | {"WANDB_MODE": "disabled"},
    )
    log = real_checkout / f"rexnet_1.0-{number}.out"
    end = time.monotonic() + 240
    while not log.exists() or "epoch" not in log.read_text():
        assert time.monotonic() < end, cluster.job(number)
        time.sleep(0.5)
    if how == "warned":
        cluster.call("scancel", "--batch", "--signal=USR1", str(number))
    else:
        other = cluster.submit(
            "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true"
        )
        cluster.finish(other)
    cluster.wait(number, ("PENDING", "FAILED"), seconds=60)
    record = cluster.finish(number, seconds=300)
    text = log.read_text()
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "1"), text
    assert f"[job {number}, attempt 0] ended: requeue, step" in text
    assert f"[job {number}, attempt 1] ended: done, step 150" in text
    (folder,) = (real_checkout / "runs").glob("rexnet_1.0-*")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "train"]
    assert steps == sorted(set(steps))
    assert {"start", "stop", "resume", "end"} <= {line.get("event") for line in lines}
