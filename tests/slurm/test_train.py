"""The trainer itself on two nodes, over gloo."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.synthetic import make
from tests.cluster.cluster import Cluster
from tests.launch.end_state import differences
from tests.slurm.conftest import copied

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
        *("slurm/rexnet_2.0.sh", *SMALL, "--data", str(images)),
        cwd=real_checkout,
        env=environment | {"DOCTOR": ""},
    )
    record = cluster.finish(number, seconds=240)
    log = (real_checkout / f"rexnet_2.0-{number}.out").read_text()
    assert record["JobState"] == "COMPLETED", log
    check(log)
    assert log.index("all-reduce") < log.index("SMOKE OK")  # the doctor's table comes first
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


FLAGS = ("--epochs", "40", "--batch", "8", "--micro-batch", "4", "--image-size", "32", "--workers", "1")
QUIET = {"WANDB_MODE": "disabled"}


def run_folder(checkout: Path) -> Path:
    (folder,) = (checkout / "runs").glob("rexnet_1.0-*")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(
    cluster: Cluster, environment: dict[str, str], images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run's folder, after two nodes have trained to its end."""
    checkout = copied(tmp_path_factory.mktemp("uninterrupted") / "checkout")
    number = cluster.submit(
        *("slurm/rexnet_1.0.sh", *FLAGS, "--data", str(images)), cwd=checkout, env=environment | QUIET
    )
    record = cluster.finish(number, seconds=400)
    log = (checkout / f"rexnet_1.0-{number}.out").read_text()
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "0"), log
    assert "2 nodes x 1 process x 4 images x 1 accumulated = batch 8" in log
    return run_folder(checkout)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["warned", "preempted", "requeued", "out of time", "lost node"])
def test_whatever_stops_a_run_it_ends_as_if_nothing_had(
    cluster: Cluster,
    real_checkout: Path,
    environment: dict[str, str],
    images: Path,
    uninterrupted: Path,
    how: str,
) -> None:
    """One job, one log, one run folder, several attempts; the same weights bit for bit."""
    number = cluster.submit(
        *("--signal=B:USR1@20", "slurm/rexnet_1.0.sh", *FLAGS, "--data", str(images)),
        cwd=real_checkout,
        env=environment | ({"WANDB_MODE": "offline"} if how == "warned" else QUIET),
    )
    log = real_checkout / f"rexnet_1.0-{number}.out"
    end = time.monotonic() + 240
    while not log.exists() or "epoch" not in log.read_text():
        assert time.monotonic() < end, cluster.job(number)
        time.sleep(0.5)
    if how == "warned":
        cluster.call("scancel", "--batch", "--signal=USR1", str(number))
    elif how == "preempted":
        other = cluster.submit(
            "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true"
        )
        cluster.finish(other)
    elif how == "requeued":
        cluster.call("scontrol", "requeue", str(number))
    elif how == "out of time":
        hours, minutes, seconds = map(int, cluster.job(number)["RunTime"].split(":"))
        limit = 60 * hours + minutes + (2 if seconds > 30 else 1)
        cluster.call("scontrol", "update", f"JobId={number}", f"TimeLimit={limit}")
    else:
        cluster.kill(2)
    try:
        cluster.wait(number, ("PENDING", "FAILED", "TIMEOUT"), seconds=120)
    finally:
        if how == "lost node":
            cluster.revive(2)
    if how == "out of time":  # a machine with other work to do may need more for the rest
        cluster.call("scontrol", "update", f"JobId={number}", "TimeLimit=20")
    record = cluster.finish(number, seconds=400)
    text = log.read_text()
    assert record["JobState"] == "COMPLETED" and int(record["Restarts"]) >= 1, text
    assert f"attempt {record['Restarts']}] ended: done, step 300" in text
    folder = run_folder(real_checkout)
    assert differences(folder, uninterrupted) == []
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"start", "resume", "end"} <= {line.get("event") for line in lines}
    facts = json.loads((folder / "run.json").read_text())
    # An attempt may end before it has written: Slurm may still owe a node that is back the end of the
    # attempt that it was lost in, and sends it to the next one.
    assert 1 <= facts["restarts"] <= int(record["Restarts"])
    if how == "warned":  # one W&B run in two pieces, and how to upload them
        pieces = [path.name for path in (folder / "wandb").glob("offline-run-*")]
        assert len(pieces) == 2 and all(name.endswith(f"-{facts['wandb']['id']}") for name in pieces)
        assert text.count(f"W&B, where there is internet: wandb sync {folder}/wandb/offline-run-*") == 2


@pytest.mark.slow
def test_one_node_of_two_processes_trains_the_same(
    cluster: Cluster, real_checkout: Path, environment: dict[str, str], images: Path, uninterrupted: Path
) -> None:
    """The GPUs that Slurm grants say how many processes; this machine has none of them."""
    number = cluster.submit(
        *("--nodes=1", "--gpus-per-node=2", "slurm/rexnet_1.0.sh", *FLAGS, "--data", str(images)),
        cwd=real_checkout,
        env=environment | QUIET | {"PROCESSES": ""},
    )
    record = cluster.finish(number, seconds=400)
    log = (real_checkout / f"rexnet_1.0-{number}.out").read_text()
    assert record["JobState"] == "COMPLETED", log
    assert "1 node x 2 processes x 4 images x 1 accumulated = batch 8" in log
    assert differences(run_folder(real_checkout), uninterrupted) == []


@pytest.mark.slow
def test_the_demo_from_packed_data_on_the_nodes_own_disks(
    cluster: Cluster, real_checkout: Path, environment: dict[str, str], images: Path, tmp_path: Path
) -> None:
    """Both nodes of the test cluster share a disk, so one copies, and the other waits and finds all there."""
    packed, disk = tmp_path / "packed", tmp_path / "disk"
    subprocess.run(
        [sys.executable, str(real_checkout / "launch" / "pack.py"), str(images), str(packed)],
        check=True,
        capture_output=True,
    )
    flags = ("--epochs", "1", "--batch", "8", "--micro-batch", "4", "--image-size", "32", "--workers", "1")
    logs = []
    for folder in (images, packed):
        number = cluster.submit(
            *("--nodes=2", "--gpus-per-node=1", f"--output={tmp_path}/log-%j"),
            f"--wrap=bash slurm/job.sh demo {' '.join(flags)} --out {tmp_path / folder.name}-run",
            cwd=real_checkout,
            env=environment | QUIET | {"DATA": str(folder), "STAGE": str(disk)},
        )
        record = cluster.finish(number, seconds=240)
        logs.append((tmp_path / f"log-{number}").read_text())
        assert record["JobState"] == "COMPLETED", logs[-1]
    assert logs[0].count(f"warning: {images} is not copied to {disk}: it is not packed") == 2
    said = [line for line in logs[1].splitlines() if line.startswith("STAGE on node")]
    assert sum(" GB/s" in line for line in said) == sum("already there" in line for line in said) == 1
    assert "not copied" not in logs[1]
    assert differences(tmp_path / "packed-run", tmp_path / f"{images.name}-run") == []
    facts = json.loads((tmp_path / "packed-run" / "run.json").read_text())
    assert facts["run"]["data"] == str(packed)
    assert (facts["plan"]["nodes"], facts["plan"]["ranks"]) == (2, 2)
