"""launch/benchmark.py on this machine, small: what each mode prints and leaves."""

import json
from pathlib import Path

import pytest

from pipeline import synthetic
from tests.launch.program import run

SMALL = ("--variant", "rexnet_0.2", "--image-size", 32, "--batch", 8, "--micro-batch", 8, "--rounds", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("benchmark") / "set", train=400, val=40)


@pytest.mark.parametrize(
    ("mode", "flags", "ways", "figures"),
    [
        (
            "model",
            (),
            ["channels-last, fp32", "contiguous-8, fp32"],
            ["images/s", "forward ms", "backward ms"],
        ),
        pytest.param(
            *("input", ("--seconds", 0.2)),
            *(["crop, flip", "+ RandAugment", "+ erasing", "+ mixup"], ["images/s", "CPU ms per image"]),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("train", ("--steps", 20), ["train"], ["images/s", "data wait %", "peak memory MiB"]),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("scale", ("--steps", 20, "--micro-batch", 4)),
            *(["1 process x 1 thread", "2 processes x 1 thread"], ["images/s", "data wait %"]),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("startup", (), ["import torch", "torchrun to the first step"], ["s"]), marks=pytest.mark.slow
        ),
    ],
    ids=["model", "input", "train", "scale", "startup"],
)
def test_a_mode(
    mode: str, flags: tuple[object, ...], ways: list[str], figures: list[str], data: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    done = run("benchmark", mode, "demo", "--data", data, *SMALL, *flags, "--json", told, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    found = json.loads(told.read_text())
    assert set(ways) <= found["measured"].keys()
    for way in ways:
        measured = found["measured"][way]
        assert set(figures) <= measured.keys() and f"| {way} |" in done.stdout
        assert all(measured[name]["median"] >= 0 and len(measured[name]["rounds"]) == 1 for name in figures)
    assert found["machine"]["cores"] >= 1 and found["image_size"] == 32


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("model", "demo", "--check"), "--check is of train and scale: nothing is promised of model"),
        (("scale", "demo", "--processes", 2), "do not divide among 2 processes"),
        (
            ("train", "demo", "--against", "/nowhere"),
            "no /nowhere/train.py; --against wants a checkout of timm",
        ),
    ],
)
def test_mistakes_are_one_line(flags: tuple[object, ...], words: str, data: Path) -> None:
    done = run("benchmark", *flags, "--data", data)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr
