"""Wrong inputs end before any work: one clear message, exit code 2, no traceback."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from launch.claim import Claim
from pipeline import synthetic
from tests.launch.program import run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("mistakes") / "set", classes=3, train=30, val=12)


def broken(data: Path, tmp_path: Path, change: Callable[[Path], object]) -> Path:
    copy = tmp_path / "set"
    shutil.copytree(data, copy)
    change(copy)
    return copy


def first_class(split: Path) -> Path:
    return sorted(path for path in split.iterdir() if path.is_dir())[0]


ARGUMENTS = {
    "misspelt recipe": (["rexnet_20", "--data", "x"], ["no recipe 'rexnet_20'", "'rexnet_2.0'"]),
    "misspelt flag": (["demo", "--epoch", "3"], ["--epoch", "--epochs"]),
    "no such folder": (
        ["rexnet_1.0", "--data", "/no/such/folder"],
        ["no folder /no/such/folder; what exists is /"],
    ),
    "no data": (["rexnet_1.0"], ["--data DIR"]),
    "batch that does not fit": (["demo", "--batch", "100"], ["100", "32", "--micro-batch"]),
    "image size": (["demo", "--image-size", "16"], ["16", "--image-size 32"]),
    "evaluation size": (["demo", "--eval-size", "16"], ["16", "--eval-size 32"]),
    "no number": (["demo", "--lr", "fast"], ["--lr", "fast"]),
    "negative": (["demo", "--lr", "-1"], ["lr is -1"]),
    "no GPU to decode on": (["demo", "--decode", "gpu"], ["--decode cpu"]),
    "no such run": (["--from", "runs/none/run.json"], ["runs/none/run.json", "no such file"]),
}


@pytest.mark.parametrize("mistake", ARGUMENTS)
def test_mistake_in_the_arguments(mistake: str, tmp_path: Path) -> None:
    arguments, wanted = ARGUMENTS[mistake]
    done = run("train", *arguments, "--out", tmp_path / "run", cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    check(done.returncode, done.stdout + done.stderr, wanted)
    attempt = json.loads((tmp_path / "run" / "attempt.json").read_text())
    assert attempt["state"] == "user-error" and attempt["message"] in done.stderr
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["attempt.json"]


LAYOUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "train without val": (lambda d: shutil.rmtree(d / "val"), "no folder val"),
    "empty class folder": (lambda d: (d / "train" / "empty").mkdir(), "empty"),
    "val with more classes": (
        lambda d: shutil.copytree(first_class(d / "val"), d / "val" / "zebra"),
        "zebra",
    ),
    "no train": (lambda d: shutil.rmtree(d / "train"), "no folder train"),
    "files that are no images": (
        lambda d: [(first_class(d / "train") / f"bad{i}.jpg").write_text("no image") for i in range(2)],
        "2 of 32 files in {0}/train are no readable JPEG or PNG, more than the 1 that --max-bad 0.001 ",
    ),
    "a class without an image": (
        lambda d: [file.write_text("no image") for file in first_class(d / "train").iterdir()],
        "classes in {0}/train without one readable JPEG or PNG: ",
    ),
}


@pytest.mark.parametrize("mistake", LAYOUTS)
def test_mistake_in_the_data(mistake: str, data: Path, tmp_path: Path) -> None:
    change, wanted = LAYOUTS[mistake]
    folder = broken(data, tmp_path, change)
    done = run("train", "demo", "--data", folder, cwd=tmp_path, REXNET_CACHE=str(tmp_path / "cache"))
    check(done.returncode, done.stdout + done.stderr, [wanted.format(folder)])
    assert json.loads((tmp_path / "runs" / "attempt.json").read_text())["state"] == "user-error"


def check(code: int, output: str, wanted: list[str]) -> None:
    assert code == 2, output
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if all(part in line for part in wanted)]
    assert len(lines) == 1, output


def test_torchrun_says_it_once_and_attempt_json_says_whose_mistake(data: Path, tmp_path: Path) -> None:
    out, attempt = tmp_path / "run", tmp_path / "elsewhere.json"
    done = run(
        "train", "demo", "--data", data, "--out", out, "--batch", 8, "--micro-batch", 8, processes=3,
        REXNET_ATTEMPT=str(attempt),
    )  # fmt: skip
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if "do not divide among 3 processes" in line]
    assert len(told) == 1 and "--batch 24" in told[0]
    assert json.loads((out / "attempt.json").read_text())["state"] == "user-error"
    assert json.loads(attempt.read_text())["state"] == "user-error"


def test_torchrun_refuses_a_folder_that_is_taken(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with closing(Claim(folder)):
        start = time.monotonic()
        flags = ("--batch", 8, "--micro-batch", 4, "--image-size", 32)
        done = run("train", "demo", "--data", data, "--out", folder, *flags, processes=2)
    assert done.returncode == 1 and time.monotonic() - start < 60
    told = [line for line in done.stderr.splitlines() if "is being trained by process" in line]
    assert len(told) == 1 and f"process {os.getpid()} on {socket.gethostname()}, last heartbeat" in told[0]
    assert not (folder / "attempt.json").exists()


def test_more_bad_files_than_allowed_end_the_run_with_their_list(data: Path, tmp_path: Path) -> None:
    copy = broken(data, tmp_path, lambda folder: None)
    harmed = sorted((copy / "train").rglob("*.jpg"))[::3]
    for file in harmed:
        file.write_bytes(file.read_bytes()[:700])
    flags = ("--batch", 8, "--micro-batch", 4, "--image-size", 32, "--variant", "rexnet_0.2", "--epochs", 2)
    done = run("train", "demo", "--data", copy, "--out", tmp_path / "run", *flags, processes=2)
    assert done.returncode == 1
    attempt = json.loads((tmp_path / "run" / "attempt.json").read_text())
    assert attempt["state"] == "user-error" and attempt["step"] == 4
    assert attempt["message"].startswith(
        "10 of 30 training images have proved bad, more than the 1 that --max-bad 0.001 allows: "
    )
    for file in harmed:
        assert f"{file} has no end mark: it is cut off" in attempt["message"]
        assert f"bad image at step 4: {file} has no end mark" in done.stdout
    assert [line for line in done.stderr.splitlines() if "have proved bad" in line] == [
        f"train.py: {attempt['message']}"
    ]


def test_evaluate_refuses_weights_of_another_variant(data: Path, tmp_path: Path) -> None:
    from rexnet.model import create_model
    from rexnet.weights import save_weights

    weights = tmp_path / "w.safetensors"
    save_weights(create_model("rexnet_0.2", num_classes=3), weights, variant="rexnet_0.2")
    done = run("evaluate", "rexnet_0.3", "--weights", weights, "--data", data, cwd=tmp_path)
    check(done.returncode, done.stdout + done.stderr, ["of another shape", "w.safetensors"])
