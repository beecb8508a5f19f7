"""What becomes of weights that a GPU trained, and of a network that is compiled there: `pytest -m gpu`."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import synthetic
from tests.launch.program import records, run

pytestmark = pytest.mark.gpu
SMALL = ("--batch", 32, "--micro-batch", 32, "--image-size", 64)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("trained") / "set", classes=4, train=800, val=200)


def test_evaluation_gives_the_figure_of_training_on_either_device(data: Path, tmp_path: Path) -> None:
    words = ("demo", "--data", data, "--epochs", 4, *SMALL, "--out", tmp_path / "run")
    done = run("train", *words, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    final = records(tmp_path / "run", "eval")[-1]

    def result(**changes: str) -> dict[str, Any]:
        weights = tmp_path / "run" / "model.safetensors"
        given = ("--weights", weights, "--data", data, "--image-size", 64, "--crop-ratio", 1)
        done = run("evaluate", *given, cwd=tmp_path, timeout=300, **changes)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    here, by_cpu = result(), result(CUDA_VISIBLE_DEVICES="")
    assert here["images"] == by_cpu["images"] == 200
    assert here["acc1"] == pytest.approx(final["eval/acc1"], abs=0.51)
    assert here["acc1"] == pytest.approx(by_cpu["acc1"], abs=1.51)
    assert here["loss"] == pytest.approx(by_cpu["loss"], rel=0.05)


def test_a_compiled_network_trains_or_says_why_not(data: Path, tmp_path: Path) -> None:
    words = ("demo", "--data", data, "--epochs", 4, *SMALL, "--compile", "--out", tmp_path / "run")
    done = run("train", *words, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "run" / "run.json").read_text())["found"]
    if not found["compile"]:
        assert "compiled steps are no faster here" in found["compile_found"], found["compile_found"]
        assert done.stdout.count("--compile is left out, ") == 1
    assert records(tmp_path / "run", "eval")[-1]["eval/acc1"] > 50
