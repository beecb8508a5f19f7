"""A signal at any time, to any process: nothing is lost, and the same command goes on."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from launch.engine.preemption import SAME_REQUEST
from pipeline import synthetic
from tests.launch.end_state import MEASURED
from tests.launch.processes import attempt, log_of, pids, shows, training, until
from tests.launch.program import records, run

FLAGS = ("--batch", 16, "--micro-batch", 8, "--image-size", 32, "--variant", "rexnet_0.2", "--lr", 0.05)
FLAGS = (*FLAGS, "--log-every", 4, "--eval-batch", 1, "--epochs", 2)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 training images: 10 steps per epoch; evaluation takes 240 batches."""
    return synthetic.make(tmp_path_factory.mktemp("signals") / "set", classes=4, train=160, val=240)


@pytest.fixture(scope="module", params=[1, 2])
def whole(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one or two processes that nobody has disturbed."""
    folder = tmp_path_factory.mktemp("whole") / f"run-{request.param}"
    done = run("train", "demo", "--data", data, "--out", folder, *FLAGS, processes=request.param)
    assert done.returncode == 0, done.stderr
    return folder


def processes_of(whole: Path) -> int:
    return int(whole.name.removeprefix("run-"))


def curve(folder: Path) -> list[dict[str, Any]]:
    lines = [line for line in records(folder) if line["kind"] != "event"]
    clocks = ("time", "health/restarts")
    return [{k: v for k, v in r.items() if k not in clocks and not k.startswith(MEASURED)} for r in lines]


def result(folder: Path) -> dict[str, bytes]:
    return {name: t.numpy().tobytes() for name, t in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize(
    ("moment", "step"),
    [("step 4/20", 8), ("step 10/20", 10), ("step 20/20", 20)],
    ids=["training", "evaluation", "final evaluation"],
)
def test_whichever_process_is_told(data: Path, whole: Path, tmp_path: Path, moment: str, step: int) -> None:
    """The last rank alone gets the signal."""
    folder, processes = tmp_path / "run", processes_of(whole)
    with training(folder, "--data", data, *FLAGS, processes=processes) as started:
        until(shows(folder, moment), started=started)
        (told,) = pids(folder, rank=processes - 1)
        os.kill(told, signal.SIGUSR2)
        assert started.wait(60) == 0
    log = log_of(folder).read_text()
    assert "Traceback" not in log and f"stopped as asked at step {step}; the same command goes on" in log
    assert (attempt(folder)["state"], attempt(folder)["step"]) == ("requeue", step)
    assert not (folder / "model.safetensors").exists()
    again = run("train", "demo", "--data", data, "--out", folder, *FLAGS, processes=processes)
    assert again.returncode == 0, again.stderr
    assert curve(folder) == curve(whole)
    assert result(folder) == result(whole)
    assert attempt(folder)["state"] == "done"


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("moment", ["nothing yet", "Run folder", "training images"])
def test_at_the_start(data: Path, tmp_path: Path, processes: int, moment: str) -> None:
    folder = tmp_path / "run"
    with training(folder, "--data", data, *FLAGS, processes=processes) as started:
        if moment == "nothing yet":
            until(lambda: len(pids(folder, rank=processes - 1)) == 1)
            until(lambda: b"libtorch" in _maps(pids(folder, rank=processes - 1)[0]))
        else:
            until(shows(folder, moment), started=started)
        (told,) = pids(folder, rank=processes - 1)
        os.kill(told, signal.SIGTERM)
        assert started.wait(60) == 1
    log = log_of(folder).read_text()
    assert 'train.py", line' not in log, log  # no traceback of ours; torchrun has one of its own
    assert attempt(folder)["state"] == "requeue", log
    again = run("train", "demo", "--data", data, "--out", folder, *FLAGS, processes=processes)
    assert again.returncode == 0, again.stderr
    assert attempt(folder)["state"] == "done"


def _maps(pid: int) -> bytes:
    return Path(f"/proc/{pid}/maps").read_bytes()


def test_told_once_more_later_it_ends_at_once(data: Path, tmp_path: Path) -> None:
    """The next line of metrics is minutes away."""
    folder = tmp_path / "run"
    flags = ("--data", data, *FLAGS, "--log-every", 100000, "--batch", 4000, "--epochs", 5000)
    with training(folder, *flags) as started:
        until(shows(folder, "start at step 0"), started=started)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            started.send_signal(number)
        time.sleep(SAME_REQUEST + 0.5)
        assert started.poll() is None
        started.send_signal(signal.SIGTERM)
        assert started.wait(5) == 128 + signal.SIGTERM
    assert attempt(folder)["state"] == "requeue"
    assert "SIGTERM: the run saves and stops at its next line of metrics" in log_of(folder).read_text()
