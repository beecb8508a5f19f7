"""OpenMP's threads that wait give the core away, in the programs that compute."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from launch.spinning import spin_briefly
from rexnet.model import create_model
from rexnet.weights import save_weights
from tests.launch.program import run

TOLD = re.compile(r"GOMP_SPINCOUNT = '(\d+)'")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that another test ran in this process has left it behind."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


@pytest.mark.parametrize(
    ("given", "turns"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_the_users_own_choice_stays(
    given: dict[str, str], turns: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    spin_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == turns


@pytest.mark.skipif(sys.platform != "linux", reason="of GNU's OpenMP")
@pytest.mark.parametrize("program", ["train", "predict", "evaluate", "benchmark"])
def test_programs_tell_openmp_before_torch_starts_it(program: str, tmp_path: Path) -> None:
    """OpenMP itself says what it took."""
    weights = tmp_path / "w.safetensors"
    save_weights(create_model("rexnet_0.1", num_classes=4), weights, variant="rexnet_0.1")
    words: dict[str, tuple[Any, ...]] = {
        "train": ("demo", "--variant", "rexnet_0.1", "--epochs", 0.01, "--image-size", 32),
        "predict": (tmp_path, "--weights", weights),
        "evaluate": ("--weights", weights, "--data", tmp_path),
        "benchmark": ("startup", "demo", "--check"),
    }
    done = run(program, *words[program], cwd=tmp_path, OMP_DISPLAY_ENV="verbose")
    assert set(TOLD.findall(done.stderr)) == {"10000"}, done.stderr[-2000:]


@pytest.mark.skipif(sys.platform != "linux", reason="of GNU's OpenMP")
def test_a_program_measured_beside_ours_inherits_nothing(tmp_path: Path) -> None:
    done = run("benchmark", "train", "demo", "--against", tmp_path, cwd=tmp_path, OMP_DISPLAY_ENV="verbose")
    assert set(TOLD.findall(done.stderr)) == {"300000"}, done.stderr[-2000:]
    assert "--against wants a checkout of timm" in done.stderr
