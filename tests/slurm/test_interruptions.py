"""Signals, preemption, time limits and a lost node, with a stand-in for the trainer."""

import re
import time
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.slurm
RUNNING = ("slurm/rexnet_2.0.sh", "--plan", "train", "--steps")


def until(path: Path, cluster: Cluster, number: int, *, seconds: float = 120) -> None:
    """Return when the job's trainer has written a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        record = cluster.job(number)
        ended = record["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
        assert not ended and time.monotonic() < end, (
            f"no {path}: {record}\n{Path(record['StdOut']).read_text()}"
        )
        time.sleep(0.2)


def log_of(checkout: Path, number: int) -> str:
    return (checkout / f"rexnet_2.0-{number}.out").read_text()


@pytest.mark.slow
def test_warned_it_saves_is_queued_again_and_goes_on(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The signal that Slurm sends before the time limit, by hand."""
    out = tmp_path / "out"
    number = cluster.submit(*RUNNING, "60", "--out", str(out), cwd=checkout, env=environment)
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    cluster.call("scancel", "--batch", "--signal=USR1", str(number))
    until(out / "attempt1-rank0.ready", cluster, number)
    record = cluster.finish(number)
    log = log_of(checkout, number)
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "1"), log
    assert 0 < int((out / "attempt1-rank0.ready").read_text()) < 60
    assert [(out / f"step-rank{rank}").read_text() for rank in range(2)] == ["60", "60"]
    # One log holds both attempts.
    assert f"[job {number}, attempt 0] queued again, to go on from step" in log
    assert "Traceback" not in log
    assert f"[job {number}, attempt 1] ended: done, step 60" in log


def test_cancelled_it_is_not_queued_again(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Although the trainer, which sees a signal as any other, saves and asks for more."""
    out = tmp_path / "out"
    number = cluster.submit(*RUNNING, "600", "--out", str(out), cwd=checkout, env=environment)
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    cluster.call("scancel", str(number))
    cluster.wait(number, "CANCELLED", seconds=30)
    time.sleep(5)
    assert int((out / "step-rank0").read_text()) > 0
    record = cluster.job(number)
    assert (record["JobState"], record["Restarts"]) == ("CANCELLED", "0")
    assert "queued again, to" not in log_of(checkout, number)


@pytest.mark.slow
def test_preempted_while_training(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    number = cluster.submit(*RUNNING, "100", "--out", str(out), cwd=checkout, env=environment)
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    other = cluster.submit(
        "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"
    )
    cluster.finish(other)
    record = cluster.finish(number)
    log = log_of(checkout, number)
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "1"), log
    assert 0 < int((out / "attempt1-rank0.ready").read_text()) < 100
    assert "attempt 1] ended: done, step 100" in log


@pytest.mark.slow
def test_preempted_before_the_trainer_is_ready_and_a_later_fault_is_final(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Slurm's note of the first attempt's preemption does not speak for the second attempt."""
    out = tmp_path / "out"
    number = cluster.submit(
        *("slurm/rexnet_2.0.sh", "--plan", "deaf-fault", "--out", str(out)), cwd=checkout, env=environment
    )
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.json", cluster, number)
    other = cluster.submit(
        "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"
    )
    cluster.finish(other)
    until(out / "attempt1-rank0.json", cluster, number)
    record = cluster.finish(number)
    log = log_of(checkout, number)
    assert (record["JobState"], record["Restarts"]) == ("FAILED", "1"), log
    assert "attempt 1] ended: fault" in log


@pytest.mark.slow
def test_two_attempts_without_progress_are_the_last(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    number = cluster.submit(
        *("slurm/rexnet_2.0.sh", "--plan", "idle", "--out", str(tmp_path / "out")),
        cwd=checkout,
        env=environment,
    )
    cluster.wait(number, "PENDING")
    record = cluster.finish(number)
    log = log_of(checkout, number)
    assert (record["JobState"], record["Restarts"], record["ExitCode"]) == ("FAILED", "2", "1:0"), log
    assert "attempt 1] queued again, to go on from step 5" in log
    assert "attempt 2] not queued again: attempts 1 and 2 made no new checkpoint" in log
    assert not list((checkout / "runs" / ".slurm").iterdir())


@pytest.mark.slow
def test_a_node_that_three_attempts_failed_on_is_excluded_and_named(
    three_nodes: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    number = three_nodes.submit(
        *("--exclude=node3", "slurm/rexnet_2.0.sh", "--plan", "bad-node", "--out", str(tmp_path / "out")),
        cwd=checkout,
        env=environment,
    )
    word = f"[job {number}, attempt 2] without node2 from now on: three attempts failed there."
    end = time.monotonic() + 240
    while not (log := checkout / f"rexnet_2.0-{number}.out").exists() or word not in log.read_text():
        assert time.monotonic() < end, (
            f"{three_nodes.job(number)}\n{log.read_text() if log.exists() else 'no log'}"
        )
        time.sleep(0.5)
    record = three_nodes.job(number)
    assert record["Restarts"] == "3"
    assert sorted(re.findall(r"\d", record["ExcNodeList"])) == ["2", "3"]
    # Without node2 and, as the user wanted, node3 the job waits, until the user allows node3.
    three_nodes.call("scontrol", "update", f"JobId={number}", "ExcNodeList=node2")
    record = three_nodes.finish(number)
    text = log_of(checkout, number)
    assert (record["JobState"], record["NodeList"]) == ("COMPLETED", "node[1,3]"), text
    assert text.count("queued again, to go on from step") == 3


@pytest.mark.slow
def test_time_limit(cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """Slurm warns 20 to 80 s before the limit of two minutes, and the run needs more than the rest."""
    out = tmp_path / "out"
    number = cluster.submit(
        *("--time=2", "--signal=B:USR1@20", *RUNNING, "1000", "--out", str(out)),
        cwd=checkout,
        env=environment,
    )
    record = cluster.finish(number, seconds=500)
    log = log_of(checkout, number)
    assert record["JobState"] == "COMPLETED", log
    assert int(record["Restarts"]) >= 1
    assert f"[job {number}, attempt 0] ended: requeue" in log


@pytest.mark.slow
@pytest.mark.parametrize("lost", [1, 2])
def test_a_node_that_slurm_finds_lost(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path, lost: int
) -> None:
    """The trainer hangs; Slurm gives the node up and queues the job again."""
    out = tmp_path / "out"
    number = cluster.submit(*RUNNING, "900", "--out", str(out), cwd=checkout, env=environment)
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    cluster.kill(lost)
    try:
        cluster.wait(number, ("PENDING", "COMPLETING"), seconds=90)
    finally:
        cluster.revive(lost)
    for rank in range(2):
        (out / f"step-rank{rank}").write_text("890")
    record = cluster.finish(number, seconds=240)
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "1"), log_of(checkout, number)


@pytest.mark.slow
def test_a_node_that_the_trainer_finds_lost(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The trainer fails at once, before Slurm has noticed; that fault must not end the job."""
    out = tmp_path / "out"
    number = cluster.submit(*RUNNING, "600", "--out", str(out), cwd=checkout, env=environment)
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    cluster.kill(2)
    try:
        (out / "lost").touch()
        cluster.wait(number, ("PENDING", "COMPLETING"), seconds=90)
        (out / "lost").unlink()
    finally:
        cluster.revive(2)
    for rank in range(2):
        (out / f"step-rank{rank}").write_text("590")
    record = cluster.finish(number, seconds=240)
    log = log_of(checkout, number)
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "1"), log
