"""A run that is killed and started again ends as one that was not."""

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline import synthetic
from tests.launch.end_state import checkpoint, differences, measured, weights
from tests.launch.program import command, environment, kill_at, records, run

FLAGS = (
    *("--epochs", 3, "--batch", 48, "--micro-batch", 8, "--image-size", 40, "--lr", 0.05, "--dropout", 0.2),
    *("--start-size", 32, "--size-step", 8, "--full-size-from", 0.6),
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


def scores(folder: Path) -> list[dict[str, Any]]:
    return [r for r in measured(folder) if r["kind"] == "eval"]


def test_killed_in_mid_epoch_with_three_processes_ends_bit_identical(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run("train", "demo", "--data", data, "--out", whole, *FLAGS, processes=3)
    assert done.returncode == 0, done.stderr[-3000:]
    arguments = command("train", "demo", "--data", data, "--out", killed, *FLAGS, processes=3)
    kill_at(6, arguments, killed)
    assert not (killed / "model.safetensors").exists()
    again = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=240)
    assert again.returncode == 0, again.stderr[-3000:]
    resumed = re.search(r"^resume at step (\d+)", again.stdout, flags=re.M)
    assert resumed is not None, again.stdout
    assert 0 < int(resumed[1]) < 13 and int(resumed[1]) * 48 % 200  # in mid-epoch
    assert checkpoint(killed) == checkpoint(whole)
    assert weights(killed) == weights(whole)
    assert measured(killed) == measured(whole)
    assert json.loads((killed / "attempt.json").read_text())["state"] == "done"
    assert json.loads((killed / "run.json").read_text())["restarts"] == 1


@pytest.mark.slow
def test_told_to_stop_it_saves_and_goes_on(data: Path, alone: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    # With lines of metrics at the ends of epochs alone, it stops at one, where an evaluation is due.
    arguments = command("train", "demo", "--data", data, "--out", stopped, *FLAGS, "--log-every", 1000)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as started:
        assert started.stdout is not None
        for line in started.stdout:
            if line.startswith("start at step 0"):
                started.send_signal(signal.SIGTERM)
                break
        rest = started.stdout.read()
    assert started.returncode == 0
    assert "stopped as asked" in rest
    attempt = json.loads((stopped / "attempt.json").read_text())
    assert attempt["state"] == "requeue" and attempt["step"] == 5
    again = run("train", "demo", "--data", data, "--out", stopped, *FLAGS)
    assert again.returncode == 0 and "resume at step" in again.stdout
    assert weights(stopped) == weights(alone)
    assert scores(stopped) == scores(alone) and [r["step"] for r in scores(alone)] == [5, 9, 13, 13]
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


@pytest.mark.slow
def test_a_finished_run_says_so_on_two_processes(data: Path, alone: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(alone, copy)
    before = weights(copy), measured(copy)
    done = run("train", "demo", "--data", data, "--out", copy, *FLAGS, processes=2)
    assert done.returncode == 0 and done.stdout.count("This run is finished: Acc@1") == 1
    assert (weights(copy), measured(copy)) == before
    assert json.loads((copy / "attempt.json").read_text())["state"] == "done"


def test_killed_in_its_last_moment_it_measures_nothing_twice(data: Path, alone: Path, tmp_path: Path) -> None:
    """Between the final evaluations and the end, with half a line written."""
    cut = tmp_path / "run"
    shutil.copytree(alone, cut)
    lines = (cut / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert '"event": "end"' in lines[-1] and '"final": 1' in lines[-2] and '"final": 1' in lines[-3]
    (cut / "metrics.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])
    again = run("train", "demo", "--data", data, "--out", cut, *FLAGS)
    assert again.returncode == 0 and "resume at step 13" in again.stdout
    assert differences(cut, alone) == []
