"""A run that is killed and started again ends as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from pipeline import synthetic
from tests.launch.end_state import checkpoint, measured, weights
from tests.launch.program import command, environment, records, run

FLAGS = (
    *("--epochs", 3, "--batch", 48, "--micro-batch", 8, "--image-size", 32, "--lr", 0.05, "--dropout", 0.2),
    *(
        "--drop-path",
        0.1,
        "--mixup",
        0.2,
        "--variant",
        "rexnet_0.2",
        "--log-every",
        2,
        "--checkpoint-minutes",
        0,
    ),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("resume") / "set", classes=4, train=200, val=40)


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert run("train", "demo", "--data", data, "--out", folder, *FLAGS).returncode == 0
    return folder


def kill_at(step: int, arguments: list[str], folder: Path) -> None:
    """Starts a run and kills all its processes once it has logged `step`."""
    with folder.with_suffix(".txt").open("w") as log:
        started = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment())
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        file = folder / "metrics.jsonl"
        if (
            file.exists()
            and any(r["step"] >= step for r in records(folder, "train"))
            and (folder / "last.pt").exists()
        ):
            break
        assert started.poll() is None, folder.with_suffix(".txt").read_text()[-2000:]
        time.sleep(0.02)
    for process in Path("/proc").glob("[0-9]*"):  # torchrun's workers are in process groups of their own
        with suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
    started.wait()


def test_killed_in_mid_epoch_with_three_processes_ends_bit_identical(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run("train", "demo", "--data", data, "--out", whole, *FLAGS, processes=3)
    assert done.returncode == 0, done.stderr[-3000:]
    arguments = command("train", "demo", "--data", data, "--out", killed, *FLAGS, processes=3)
    kill_at(6, arguments, killed)
    assert not (killed / "model.safetensors").exists()
    stood_at = torch.load(killed / "last.pt", weights_only=True)["state"]["step"]
    assert 4 <= stood_at < 13 and stood_at * 48 % 200  # in mid-epoch
    again = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=240)
    assert again.returncode == 0, again.stderr[-3000:]
    assert f"resume at step {stood_at}" in again.stdout
    assert checkpoint(killed) == checkpoint(whole)
    assert weights(killed) == weights(whole)
    assert measured(killed) == measured(whole)
    assert json.loads((killed / "attempt.json").read_text())["state"] == "done"
    assert json.loads((killed / "run.json").read_text())["restarts"] == 1


def test_told_to_stop_it_saves_and_goes_on(data: Path, alone: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    arguments = command("train", "demo", "--data", data, "--out", stopped, *FLAGS)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as started:
        assert started.stdout is not None
        for line in started.stdout:
            if "step 2/" in line:
                started.send_signal(signal.SIGTERM)
                break
        rest = started.stdout.read()
    assert started.returncode == 0
    assert "stopped as asked" in rest
    attempt = json.loads((stopped / "attempt.json").read_text())
    assert attempt["state"] == "requeue" and 2 <= attempt["step"] < 13
    again = run("train", "demo", "--data", data, "--out", stopped, *FLAGS)
    assert again.returncode == 0 and "resume at step" in again.stdout
    assert weights(stopped) == weights(alone)
    finished = run("train", "demo", "--data", data, "--out", stopped, *FLAGS)
    assert finished.returncode == 0 and "This run is finished: Acc@1" in finished.stdout
    other = run("train", "demo", "--data", data, "--out", stopped, *FLAGS, "--seed", 1)
    assert other.returncode == 2 and "seed 0 -> 1" in other.stderr
    fresh = run(
        "train", "demo", "--data", data, "--out", stopped, *FLAGS, "--seed", 1, "--fresh", "--epochs", 0.5
    )
    assert fresh.returncode == 0 and (tmp_path / "stopped.1" / "model.safetensors").exists()


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    data: Path, alone: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(alone, torn)
    (torn / "model.safetensors").unlink()
    last = torn / "last.pt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    again = run("train", "demo", "--data", data, "--out", torn, *FLAGS)
    assert again.returncode == 0 and f"{last} IS DAMAGED" in again.stdout
    assert weights(torn) == weights(alone)
    assert measured(torn) == measured(alone)
    (told,) = [r for r in records(torn, "event") if r["event"] == "damaged checkpoint"]
    assert told["file"] == str(last) and (torn / "damaged.pt").exists()


def test_a_checkpoint_alone_knows_which_run_it_is_of(data: Path, alone: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(alone / "last.pt", bare)
    other = run("train", "demo", "--data", data, "--out", bare, *FLAGS, "--seed", 1, "--lr", 0.1)
    assert other.returncode == 2
    assert "last.pt belongs to another run" in other.stderr
    assert "what differs: seed 0 -> 1, optim.lr 0.05 -> 0.1. Take another --out" in other.stderr
