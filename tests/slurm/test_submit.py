"""launch/submit.py on the test cluster; what is about Slurm alone has a stand-in for the trainer."""

import re
import shutil
import stat
import time
from pathlib import Path

import pytest

from pipeline.synthetic import make
from tests.cluster.cluster import Cluster
from tests.launch.end_state import differences
from tests.slurm.test_interruptions import until
from tests.slurm.test_job import ranks

pytestmark = pytest.mark.slurm
HERE = Path(__file__).resolve().parent
SHIM = HERE.parent / "cluster" / "bin"
TWO = ("demo", "--nodes", "2")  # a recipe that needs no data
SPLIT = ("--micro-batch", "16")  # over two processes


@pytest.fixture
def stand_in(real_checkout: Path) -> Path:
    """A checkout whose trainer is the stand-in. A blank in its path shows where quotes are missing."""
    folder = real_checkout.rename(real_checkout.with_name("my checkout"))
    shutil.copy(HERE / "stand_in.py", folder / "launch" / "train.py")
    return folder


@pytest.fixture
def user(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """What a user has exported; the key is a secret."""
    return environment | {"WANDB_API_KEY": "not-for-the-disk", "WANDB_MODE": "disabled"}


def submit(
    cluster: Cluster, checkout: Path, *arguments: str, cwd: Path, env: dict[str, str]
) -> tuple[list[int], list[Path], str]:
    """Submits; returns the numbers of the jobs, their logs and all that was printed."""
    program = [f"{env['ENV']}/bin/python", str(checkout / "launch" / "submit.py"), *arguments]
    printed = cluster.call(*program, cwd=cwd, env=env)
    jobs = [int(job) for job in re.findall(r"^job (\d+)", printed, re.MULTILINE)]
    logs = [Path(log) for log in re.findall(r"^  log +(.+)$", printed, re.MULTILINE)]
    return jobs, logs, printed


def ask(cluster: Cluster, log: Path, question: str, *, env: dict[str, str], shim: bool = True) -> str:
    """Asks submitit's own object for the job that writes a log; `job` in the question."""
    number = log.name.removesuffix("_0_log.out")
    program = f"import submitit; job = submitit.SlurmJob({str(log.parent)!r}, {number!r}, (0, 1)); {question}"
    path = {"PATH": f"{SHIM}:/usr/bin:/bin:/usr/sbin"} if shim else {}
    return cluster.call(f"{env['ENV']}/bin/python", "-c", program, env=path).strip()


def test_two_nodes_one_world_and_a_private_folder(
    cluster: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path
) -> None:
    """Submitted from another folder, with two processes on each node."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "launch").mkdir()  # not the package
    (number,), (log,), printed = submit(
        *(cluster, stand_in, *TWO, "--", *("--micro-batch", "8", "--out", "out", "--seed", "3")),
        cwd=home,
        env=user | {"PROCESSES": "2"},
    )
    record = cluster.finish(number)
    text = log.read_text()
    assert record["JobState"] == "COMPLETED", text
    seen = ranks(home / "out")
    assert [s["rank"] for s in seen] == [0, 1, 2, 3]
    assert {s["world"] for s in seen} == {4}
    assert sorted(s["host"] for s in seen) == ["node1", "node1", "node2", "node2"]
    assert {s["folder"] for s in seen} == {str(home)}
    assert seen[0]["arguments"] == ["demo", "--micro-batch", "8", "--out", "out", "--seed", "3"]
    assert f"[job {number}, attempt 0] ended: done, step 1" in text
    assert "Traceback" not in text
    # What was said is where it is, and nobody else may look.
    assert f"cancel  scancel {number}" in printed and f"tail -F '{log}'" in printed.replace(
        str(log), f"'{log}'"
    )
    folder = log.parent
    assert folder.parent == home / ".submitit"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    for path in folder.iterdir():
        assert b"not-for-the-disk" not in path.read_bytes(), path
    # Without sacct too: a finished run leaves its result.
    assert ask(cluster, log, "print(job.done(), job.results()[0])", env=user, shim=False) == (
        "True the run is finished"
    )


TRAINED = ("--epochs", "20", "--batch", "8", "--micro-batch", "4", "--image-size", "32", "--workers", "1")


@pytest.mark.slow
def test_interrupted_it_ends_with_the_weights_of_an_uninterrupted_run(
    cluster: Cluster, real_checkout: Path, user: dict[str, str], tmp_path: Path
) -> None:
    """The trainer itself on two nodes, over gloo: once to the end, once preempted by SIGTERM alone and, in
    its second attempt, sent submitit's own signal."""
    user |= {"DATA": str(make(tmp_path / "set", train=60, val=20))}
    words = ("rexnet_1.0", "--processes", "1", "--", *TRAINED, "--log-every", "5", "--out")
    (number,), (log,), printed = submit(cluster, real_checkout, *words, "whole", cwd=tmp_path, env=user)
    record = cluster.finish(number, seconds=400)
    assert record["JobState"] == "COMPLETED", log.read_text()
    assert "rexnet_1.0: 2 nodes x 1 process x 4 images x 1 accumulated = batch 8" in printed
    assert printed.splitlines()[0].partition(": ")[2] in log.read_text()

    (number,), (log,), _ = submit(cluster, real_checkout, *words, "cut", cwd=tmp_path, env=user)
    metrics = tmp_path / "cut" / "metrics.jsonl"

    def trained() -> int:
        text = metrics.read_text() if metrics.exists() else ""
        return max((int(step) for step in re.findall(r'"step": (\d+), "epoch"', text)), default=0)

    for attempt, step in enumerate((20, 60)):
        deadline = time.monotonic() + 240
        while trained() < step or f"attempt {attempt}]" not in log.read_text():
            assert time.monotonic() < deadline, (trained(), log.read_text())
            time.sleep(0.2)
        if attempt == 0:
            other = cluster.submit(
                "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true"
            )
            cluster.finish(other)
        else:
            ask(cluster, log, "job._interrupt()", env=user)
        cluster.wait(number, ("PENDING", "FAILED"), seconds=60)
    record = cluster.finish(number, seconds=400)
    text = log.read_text()
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "2"), text
    assert f"[job {number}, attempt 2] ended: done, step 150" in text
    assert differences(tmp_path / "cut", tmp_path / "whole") == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["its own signal", "preempted by SIGTERM alone", "time limit"])
def test_asked_to_stop_it_saves_is_queued_again_and_goes_on(
    cluster: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path, how: str
) -> None:
    limit = ("--time", "2", "--notice", "20") if how == "time limit" else ()
    out = tmp_path / "out"
    (number,), (log,), _ = submit(
        *(cluster, stand_in, *TWO, *limit, "--", *SPLIT, "--out", str(out)),
        cwd=tmp_path,
        env=user | {"STAND_IN_STEPS": "1000" if how == "time limit" else "150"},
    )
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    if how == "its own signal":
        ask(cluster, log, "job._interrupt()", env=user)
    elif how != "time limit":
        other = cluster.submit(
            "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"
        )
        cluster.finish(other)
    until(out / "attempt1-rank0.ready", cluster, number, seconds=240)
    record = cluster.finish(number, seconds=400)
    text = log.read_text()
    assert record["JobState"] == "COMPLETED", text
    assert int(record["Restarts"]) >= 1
    began = int((out / "attempt1-rank0.ready").read_text())
    assert began > 0
    assert f"[job {number}, attempt 0] queued again: to go on from step {began}" in text
    assert re.search(rf"\[job {number}, attempt \d\] ended: done, step 1", text)
    if how == "time limit":  # here a torchrun that gets SIGTERM itself shows one
        assert "Traceback" not in text
    assert ask(cluster, log, "print(job.done(), job.exception())", env=user) == "True None"


@pytest.mark.slow
def test_cancelled_it_is_not_queued_again(
    cluster: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path
) -> None:
    """Although the trainer saves and asks for more."""
    out = tmp_path / "out"
    (number,), (log,), _ = submit(
        *(cluster, stand_in, *TWO, "--", *SPLIT, "--out", str(out)),
        cwd=tmp_path,
        env=user | {"STAND_IN_STEPS": "600"},
    )
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    cluster.call("scancel", str(number))
    cluster.wait(number, "CANCELLED", seconds=30)
    time.sleep(5)
    assert int((out / "step-rank0").read_text()) > 0
    record = cluster.job(number)
    assert (record["JobState"], record["Restarts"]) == ("CANCELLED", "0")
    assert "] queued again" not in log.read_text()
    assert ask(cluster, log, "print(job.done(force_check=True), job.state)", env=user) == "True CANCELLED"


@pytest.mark.slow
def test_ends_of_its_own_are_final(
    cluster: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path
) -> None:
    for plan, word in (
        ("user-error", "ended: user-error, no such folder"),
        ("fault", "ended: fault, step 3, it broke"),
    ):
        (number,), (log,), _ = submit(
            *(cluster, stand_in, *TWO, "--", *SPLIT, "--out", str(tmp_path / plan)),
            cwd=tmp_path,
            env=user | {"STAND_IN_PLAN": plan},
        )
        record = cluster.finish(number)
        text = log.read_text()
        assert (record["JobState"], record["Restarts"]) == ("FAILED", "0"), text
        assert word in text and "not queued again: " in text
        assert ask(cluster, log, "print(job.task(0).done())", env=user, shim=False) == "True"


@pytest.mark.slow
def test_an_array_trains_each_width_with_each_seed(
    cluster: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path
) -> None:
    data = make(tmp_path / "set", train=60, val=20)
    numbers, logs, printed = submit(
        *(cluster, stand_in, "--array", "1.0,1.3", "--seeds", "0,1", "--nodes", "1", "--gpus-per-node", "2"),
        *("--", "--batch", "64", "--micro-batch", "32"),
        cwd=tmp_path,
        env=user | {"PROCESSES": "", "DATA": str(data)},
    )
    assert numbers == [numbers[0]] * 4 and len(set(logs)) == 4
    assert f"scancel {numbers[0]}_0" in printed
    for index, log in enumerate(logs):
        deadline = time.monotonic() + 120
        while "ended: done" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < deadline, log
            time.sleep(0.3)
        assert f"[job {numbers[0]}_{index}, attempt 0]" in log.read_text()


@pytest.mark.slow
def test_a_lost_node_costs_the_time_since_the_last_checkpoint(
    cluster: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path
) -> None:
    """Slurm starts the job again by itself, so nobody has decided that."""
    out = tmp_path / "out"
    (number,), (log,), _ = submit(
        *(cluster, stand_in, *TWO, "--", *SPLIT, "--out", str(out)),
        cwd=tmp_path,
        env=user | {"STAND_IN_STEPS": "900"},
    )
    for rank in range(2):
        until(out / f"attempt0-rank{rank}.ready", cluster, number)
    cluster.kill(2)
    try:
        cluster.wait(number, ("PENDING", "COMPLETING"), seconds=90)
    finally:
        cluster.revive(2)
    for rank in range(2):
        (out / f"step-rank{rank}").write_text("890")
    record = cluster.finish(number, seconds=240)
    assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "1"), log.read_text()
    assert f"[job {number}, attempt 1] ended: done, step 900" in log.read_text()


@pytest.mark.slow
def test_a_node_that_three_attempts_failed_on_is_excluded_besides_the_users(
    three_nodes: Cluster, stand_in: Path, user: dict[str, str], tmp_path: Path
) -> None:
    (number,), (log,), _ = submit(
        *(three_nodes, stand_in, *TWO, "--exclude", "node3", "--", *SPLIT, "--out", str(tmp_path / "out")),
        cwd=tmp_path,
        env=user | {"STAND_IN_PLAN": "bad-node"},
    )
    word = f"[job {number}, attempt 2] without node2 from now on: three attempts failed there."
    deadline = time.monotonic() + 240
    while word not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline, three_nodes.job(number)
        time.sleep(0.5)
    record = three_nodes.wait(number, "PENDING")
    while "2" not in record["ExcNodeList"]:
        assert time.monotonic() < deadline, record
        record = three_nodes.job(number)
    assert sorted(re.findall(r"\d", record["ExcNodeList"])) == ["2", "3"]
