"""Uploading W&B runs from a login node; `wandb` itself is a stand-in that notes what it is told."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.slurm.conftest import REPOSITORY

SCRIPT = REPOSITORY / "slurm" / "sync.sh"
WANDB = """#!/bin/bash
printf '%s\\n' "$@" '' >>"$CALLED"
shift
for piece in "$@"; do
    [[ $piece == *refused* ]] && exit 1
    touch "$piece/run-x.wandb.synced"
done
"""


@pytest.fixture
def sync(tmp_path: Path):
    program = tmp_path / "env" / "bin" / "wandb"
    program.parent.mkdir(parents=True)
    program.write_text(WANDB)
    program.chmod(0o755)
    called = tmp_path / "called"

    def run(*arguments: str) -> tuple[int, str, list[str]]:
        called.write_text("")
        env = {**os.environ, "ENV": str(tmp_path / "env"), "CALLED": str(called)}
        done = subprocess.run(["bash", str(SCRIPT), *arguments], env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, called.read_text().splitlines()

    return run


def piece(run: Path, name: str) -> Path:
    folder = run / "wandb" / f"offline-run-{name}-x"
    folder.mkdir(parents=True)
    (folder / "run-x.wandb").touch()
    return folder


def test_the_pieces_of_a_run_go_together_and_once(sync, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "my run"
    first, second = piece(run, "20260102_0000"), piece(run, "20260103_0000")
    (run / "wandb" / "latest-run").symlink_to(second)
    code, said, called = sync("--once", str(run))
    assert (code, called) == (0, ["sync", str(first), str(second), ""]), said
    assert f"{run}: 2 to upload" in said
    third = piece(run, "20260104_0000")
    assert sync("--once", str(tmp_path / "runs"))[2] == ["sync", str(third), ""]
    assert sync("--once", str(run), str(tmp_path / "runs"))[2] == []


def test_what_is_being_written_waits(sync, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first, second = piece(run, "20260102_0000"), piece(run, "20260103_0000")
    (run / "lock.3").touch()
    assert sync("--once", str(run))[2] == ["sync", str(first), ""]
    os.utime(run / "lock.3", (time.time() - 120, time.time() - 120))  # of a process that has died
    assert sync("--once", str(run))[2] == ["sync", str(second), ""]


def test_what_fails_is_tried_again(sync, tmp_path: Path) -> None:
    refused, other = piece(tmp_path / "a", "refused"), piece(tmp_path / "b", "1")
    code, _, called = sync("--once", str(tmp_path / "a"), str(tmp_path / "b"))
    assert (code, called) == (1, ["sync", str(refused), "", "sync", str(other), ""])
    assert sync("--once", str(tmp_path / "a"), str(tmp_path / "b"))[2] == ["sync", str(refused), ""]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "which runs?"),
        (("/nonexistent",), "/nonexistent is no folder"),
        (("--often", "/tmp"), "there is no option --often"),
        (("--every", "x", "/tmp"), "--every wants minutes, not 'x'"),
        (("/tmp", "--every"), "--every wants minutes, not ''"),
    ],
)
def test_mistakes(sync, arguments: tuple[str, ...], word: str) -> None:
    code, said, called = sync(*arguments)
    assert (code, called) == (2, [])
    assert word in said
