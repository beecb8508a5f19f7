"""Processes that would not train the same run say so at the start, before any waits for another in vain."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import synthetic
from tests.launch.program import REPOSITORY, environment

OTHERWISE = """
import os, sys
if os.environ["RANK"] == "1":
    {change}
from launch.engine.distributed import leave
from launch.train import main
leave(main(sys.argv[1:]))
"""
"""The training program, whose rank 1 is started otherwise than rank 0."""

FLAGS = ("--epochs=1", "--batch=8", "--micro-batch=4", "--image-size=32", "--variant=rexnet_0.1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("unison") / "set", classes=2, train=32, val=8)


def start(place: Path, data: Path, change: str) -> tuple[int, list[str], Mapping[str, str]]:
    """Returns the exit code of two processes, the program's own lines, and attempt.json."""
    script = place / "train.py"
    script.write_text(OTHERWISE.format(change=change))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", str(script)),
            *("demo", "--data", str(data), *FLAGS, "--out", str(place / "run")),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(PYTHONPATH=str(REPOSITORY), REXNET_CACHE=str(place / "cache")),
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("train.py: ")]
    return done.returncode, told, json.loads((place / "run" / "attempt.json").read_text())


def test_other_flags(data: Path, tmp_path: Path) -> None:
    code, told, attempt = start(tmp_path, data, 'sys.argv += ["--log-every", "7"]')
    assert code != 0 and attempt["state"] == "user-error" and told == [f"train.py: {attempt['message']}"]
    assert " than rank 0 on " in told[0] and "what differs: keeping.log_every 25 -> 7. All of them" in told[0]


def test_other_files(data: Path, tmp_path: Path) -> None:
    """Of a copy on one machine's own disk, a file is missing."""
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    next((copy / "train").glob("*/*")).unlink()
    change = f'os.environ["REXNET_STAGED"] = {str(copy)!r}'
    code, told, attempt = start(tmp_path, data, change)
    assert code != 0 and attempt["state"] == "user-error" and told == [f"train.py: {attempt['message']}"]
    assert "what differs: data.train_images 32 -> 31, data.train " in told[0]


def test_gpus_of_other_kinds(data: Path, tmp_path: Path) -> None:
    """The precision that each stands for is said by a stand-in."""
    change = "from launch import unison; unison.choose_precision = lambda *_: 'bf16'"
    code, told, attempt = start(tmp_path, data, change)
    assert code != 0 and attempt["state"] == "user-error" and told == [f"train.py: {attempt['message']}"]
    assert "is for bf16, that of rank 0 on " in told[0] and "take one --precision for both" in told[0]


@pytest.mark.slow
def test_a_folder_that_one_process_does_not_see(data: Path, tmp_path: Path) -> None:
    """On the first start nobody sees a run in it, on the second one all but one do."""
    blind = "from launch.folder import RunFolder; RunFolder.facts = lambda self: None"
    code, told, attempt = start(tmp_path, data, blind)
    assert (code, told, attempt["state"]) == (0, [], "done")
    code, told, attempt = start(tmp_path, data, blind)
    assert code != 0 and attempt["state"] == "fault" and told == [f"train.py: {attempt['message']}"]
    assert "sees no run in " in told[0] and "rank 1 on " in told[0]
    assert (tmp_path / "run" / "model.safetensors").exists()
