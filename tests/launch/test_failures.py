"""Faults from outside, caused in real runs; docs/failures.md has a row for each."""

import itertools
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from launch.reporting import wandb_file
from pipeline import synthetic
from tests.launch.played_server import dropping
from tests.launch.processes import attempt, log_of, pids, shows, training, until
from tests.launch.program import records, run

FLAGS = ("--batch", 16, "--micro-batch", 8, "--image-size", 32, "--variant", "rexnet_0.2", "--lr", 0.05)
FLAGS = (*FLAGS, "--log-every", 2, "--checkpoint-minutes", 0)
LONG = (*FLAGS, "--epochs", 1000)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("failures") / "set", classes=4, train=400, val=40)


def our_lines(folder: Path) -> list[str]:
    """Returns what our program has said of its end."""
    return [line for line in log_of(folder).read_text().splitlines() if line.startswith("train.py: ")]


def steps(folder: Path) -> int:
    return max((line["step"] for line in records(folder, "train")), default=0)


def goes_on(folder: Path, data: Path, *flags: object) -> None:
    """The same command takes the run up where its newest checkpoint stands."""
    with training(folder, "--data", data, *flags, processes=2) as started:
        until(shows(folder, "resume at step"), started=started)
        (at,) = re.findall(r"resume at step (\d+)", log_of(folder).read_text())
        assert int(at) > 0
        until(lambda: steps(folder) > int(at) + 4, started=started)


@slow
def test_a_killed_rank_is_named_and_the_run_goes_on(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training(folder, "--data", data, *LONG, processes=2) as started:
        until(lambda: shows(folder, "step 20/")(), started=started)
        (killed,) = pids(folder, rank=1)
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: our_lines(folder), seconds=30) < 15
        assert started.wait(60) == 1
    (line,) = our_lines(folder)
    assert f"rank 1 on {socket.gethostname()} gave no sign of life for 5 s, last when in step" in line
    assert 'train.py", line' not in log_of(folder).read_text()
    assert attempt(folder)["state"] == "requeue" and line.endswith(attempt(folder)["message"])
    assert attempt(folder)["hosts"] == [socket.gethostname()]
    assert attempt(folder)["folder"] == str(folder.resolve())
    goes_on(folder, data, *LONG)


@slow
def test_the_first_rank_is_named_by_another(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training(folder, "--data", data, *LONG, processes=2) as started:
        until(shows(folder, "step 20/"), started=started)
        (killed,) = pids(folder, rank=0)
        os.kill(killed, signal.SIGKILL)
        assert started.wait(60) == 1
    (line,) = our_lines(folder)
    assert f"rank 0 on {socket.gethostname()} gave no sign of life" in line
    assert attempt(folder)["state"] == "requeue"


@slow
def test_without_a_new_checkpoint_a_lost_rank_is_a_fault(data: Path, tmp_path: Path) -> None:
    """Else a job that always fails would be queued again for ever."""
    folder = tmp_path / "run"
    flags = (*LONG, "--checkpoint-minutes", 1000)
    with training(folder, "--data", data, *flags, processes=2) as started:
        until(shows(folder, "step 4/"), started=started)
        os.kill(pids(folder, rank=1)[0], signal.SIGKILL)
        assert started.wait(60) == 1
    assert attempt(folder)["state"] == "fault"


@slow
def test_a_rank_that_is_stopped_for_a_while_costs_only_the_while(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training(folder, "--data", data, *LONG, "--timeout", 1, processes=2) as started:
        until(shows(folder, "step 20/"), started=started)
        (stopped,) = pids(folder, rank=1)
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(20)
        at = steps(folder)
        os.kill(stopped, signal.SIGCONT)
        until(lambda: steps(folder) > at + 20, started=started)
    assert not our_lines(folder)


@slow
def test_a_rank_that_stays_stopped_is_named(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training(folder, "--data", data, *LONG, "--timeout", 0.2, processes=2) as started:
        until(shows(folder, "step 20/"), started=started)
        (stopped,) = pids(folder, rank=1)
        os.kill(stopped, signal.SIGSTOP)
        assert 12 < until(lambda: our_lines(folder), seconds=60) < 30
        assert started.wait(90) == 1
    (line,) = our_lines(folder)
    assert re.search(r"rank 0 has waited 1\d s for the others \(--timeout 0\.2\) when in step", line)
    assert f"rank 1 on {socket.gethostname()} gave no sign of life, last when in step" in line
    assert attempt(folder)["state"] == "requeue"
    goes_on(folder, data, *LONG)


@contextmanager
def gone(data: Path) -> Iterator[None]:
    away = data.with_name("away")
    data.rename(away)
    yield
    away.rename(data)


@slow
@pytest.mark.parametrize("processes", [1, 2])
def test_data_that_is_gone_for_a_minute_costs_only_the_minute(
    data: Path, tmp_path: Path, processes: int
) -> None:
    folder, copy = tmp_path / "run", tmp_path / "set"
    shutil.copytree(data, copy)
    with training(folder, "--data", copy, *LONG, "--timeout", 2, processes=processes) as started:
        until(shows(folder, "step 20/"), started=started)
        with gone(copy):
            until(shows(folder, "is gone; waiting until it is back"), started=started)
            time.sleep(60)
            at = steps(folder)
        until(lambda: steps(folder) > at + 20, started=started)
        # Which split was being read, training tells; its last reader may look later.
        until(lambda: re.search(rf"{copy}/(train|val) is back", log_of(folder).read_text()), started=started)
    assert not our_lines(folder)
    assert records(folder, "train")[-1]["health/bad_images"] == 0


@slow
def test_data_that_stays_gone_ends_the_run_before_its_ranks_give_each_other_up(
    data: Path, tmp_path: Path
) -> None:
    folder, copy = tmp_path / "run", tmp_path / "set"
    shutil.copytree(data, copy)
    with training(folder, "--data", copy, *LONG, "--timeout", 0.25, processes=2) as started:
        until(shows(folder, "step 20/"), started=started)
        with gone(copy):
            assert until(lambda: our_lines(folder), seconds=60) < 30
            assert started.wait(60) == 1
    (line,) = our_lines(folder)
    assert re.search(r"got no data for 1\d s, and after 15 s \(--timeout 0\.25\) the ranks give each", line)
    assert attempt(folder)["state"] == "requeue"
    goes_on(folder, copy, *LONG)


@slow
def test_values_that_are_not_finite_again_and_again(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = (*LONG, "--warmup", 0, "--max-skipped", 6, "--checkpoint-minutes", 1000)
    done = run("train", "demo", "--data", data, "--out", folder, *flags, "--lr", 1e30, processes=2)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("train.py: ")]
    assert "optimizer steps in a row, 2 to" in line and "the weights are those after step 1." in line
    assert str(data / "train") in line and line.endswith("--max-skipped 14")
    assert attempt(folder)["state"] == "user-error" and line.endswith(attempt(folder)["message"])
    assert not (folder / "last.pt").exists()
    assert records(folder, "train")[-1]["health/skipped_in_a_row"] == 7
    (event,) = [r for r in records(folder, "event") if r["event"] == "diverged"]
    assert event["images"].count(str(data / "train")) in (8, 16)


@contextmanager
def swallowing() -> Iterator[str]:
    """A server that takes every connection and never answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def swallow() -> None:
        while True:
            try:
                kept.append(listening.accept()[0])
            except OSError:
                return

    threading.Thread(target=swallow, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.close()
    for connection in kept:
        connection.close()


@slow
@pytest.mark.parametrize(
    ("place", "bound", "told"), [(swallowing, 25, "W&B did not answer"), (dropping, 5, "cannot be reached")]
)
def test_wandb_that_never_answers_costs_no_step(
    data: Path, tmp_path: Path, place: Callable[[], AbstractContextManager[str]], bound: float, told: str
) -> None:
    """The run's end is what may come later: by less than `bound` seconds after its last line."""
    folder = tmp_path / "run"
    account = {"WANDB_MODE": "online", "WANDB_API_KEY": "x" * 40}
    account |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    with place() as url:
        flags = ("--data", data, "--out", folder, *FLAGS, "--epochs", 2)
        done = run("train", "demo", *flags, **account, WANDB_BASE_URL=url)
    ended = time.time()
    assert done.returncode == 0, done.stderr
    lines = records(folder)
    times = [line["time"] for line in lines if line["kind"] == "train"]
    assert max(b - a for a, b in itertools.pairwise(times)) < 5
    assert ended - lines[-1]["time"] < bound
    (line,) = [line for line in done.stdout.splitlines() if "the W&B run is kept offline" in line]
    assert told in line
    *_, file = wandb_file.find(folder)  # an online start that failed leaves an empty one
    rows = wandb_file.read(file).history
    assert [row["step"] for row in rows] == [line["step"] for line in lines if line["kind"] != "event"]
    assert [row["train/loss"] for row in rows if "train/loss" in row] == [
        line["train/loss"] for line in lines if line["kind"] == "train"
    ]
    assert attempt(folder)["state"] == "done"
