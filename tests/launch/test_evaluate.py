"""The evaluation program: its figures, its exit codes and what it leaves behind."""

import csv
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from launch.case import Given, evaluation_folder
from launch.engine.confidence import wilson_interval
from launch.engine.metrics import Score
from launch.evaluation import open_val
from launch.expectation import Comparison, verdict
from launch.export_request import ExportRequest
from launch.exporting import export
from launch.request import Request, own_folder
from launch.result import published_line
from pipeline import synthetic
from pipeline.config import Feeding
from pipeline.imagenet import is_imagenet_1k_val
from pipeline.index import Index
from rexnet.layouts import translate
from rexnet.model import create_model
from rexnet.published import published
from rexnet.weights import save_weights
from tests.launch.program import REPOSITORY, command, environment, run

VARIANT = "rexnet_0.2"
IMAGES = 27
SMALL = ("--image-size", 32, "--eval-batch", 5)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("evaluate") / "set", classes=3, train=30, val=IMAGES)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(create_model(VARIANT, num_classes=3), path, variant=VARIANT)
    return path


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("hits", "images", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_has_the_published_values(hits: int, images: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson_interval(hits, images) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson_interval(images - hits, images)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_interval_holds_the_shares_that_the_score_test_does_not_refuse() -> None:
    """At its ends (p - q)² n = z² q (1 - q), by which the interval is defined."""
    hits, images = 38_920, 50_000
    for end in wilson_interval(hits, images):
        z = (hits / images - end) / math.sqrt(end * (1 - end) / images)
        assert abs(z) == pytest.approx(1.959964, abs=1e-5)


def test_verdict() -> None:
    comparison = Comparison(hits=38_920, images=50_000, figure=77.86)
    assert verdict(comparison, tolerance=0.1) == (
        "Acc@1 77.840 %, expected 77.86 %: -0.020 points, 95 % interval [-0.39, +0.34] of 50000 images; "
        "within 0.10"
    )
    assert verdict(replace(comparison, figure=77.7), tolerance=0.125).endswith("; beyond 0.125")


def test_folded_weights_have_the_same_result(data: Path, weights: Path, tmp_path: Path) -> None:
    export(ExportRequest(weights=str(weights), out=tmp_path / "folded", formats=("safetensors",), fold=True))
    (folded,) = (tmp_path / "folded").glob("*.safetensors")
    done = run("evaluate", "--weights", weights, folded, "--data", data, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    ours, other = json.loads(done.stdout.splitlines()[-1])
    assert ours["acc1"] == other["acc1"] and ours["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_weights_that_were_evaluated_otherwise_are_told(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    model = create_model(VARIANT, num_classes=3)
    save_weights(model, weights, variant=VARIANT, image_size=32, crop_ratio=1, interpolation="bicubic")
    line = (
        "these weights were evaluated otherwise, by --image-size 32 --crop-ratio 1.0 --interpolation bicubic"
    )
    for flags, told in (((), 1), (("--crop-ratio", 1), 0), (("--crop-ratio", 0.9, 1), 0)):
        done = run("evaluate", "--weights", weights, "--data", data, *SMALL, *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count(line) == told


@pytest.mark.parametrize(
    ("hits", "within"), [(38_880, True), (38_879, False), (38_980, True), (38_981, False), (38_930, True)]
)
def test_exactly_the_tolerance_is_within(hits: int, within: bool) -> None:
    """77.86 % of 50000 images are 38930, and 0.10 points are 50 images."""
    assert Comparison(hits=hits, images=50_000, figure=77.86).within(0.1) == within


def test_every_figure_of_two_decimals_bears_exactly_the_tolerance() -> None:
    for hits in range(50, 10_000, 7):
        below = Comparison(hits=hits - 10, images=10_000, figure=hits / 100)
        above = Comparison(hits=hits + 10, images=10_000, figure=hits / 100)
        assert below.within(0.1) and above.within(0.1)
        assert not replace(below, hits=hits - 11).within(0.1)


def test_the_published_figure_stands_beside_the_imagenet_validation_set_only() -> None:
    def split(count: int, names: list[str]) -> Index:
        empty = np.empty(0, np.int64)
        labels = np.broadcast_to(np.int32(0), count)
        return Index(
            root=Path("val"), classes=tuple(names), identity="", labels=labels, heights=labels,
            widths=labels, sizes=labels, ignored=0, names=empty, ends=empty,
        )  # fmt: skip

    wnids = [f"n{number:08}" for number in range(1000)]
    assert is_imagenet_1k_val(split(50_000, wnids))
    assert not is_imagenet_1k_val(split(49_999, wnids))
    assert not is_imagenet_1k_val(split(50_000, wnids[1:]))
    assert not is_imagenet_1k_val(split(50_000, [f"class_{number}" for number in range(1000)]))
    authors = published("rexnet_1.0")
    assert authors is not None
    score = Score(hits1=38_920, hits5=46_900, images=50_000, loss=1.0)
    line = published_line(score, authors)
    assert (
        line == "published 77.9 % at 224 pixels: -0.060 points, 95 % interval [-0.43, +0.30] of 50000 images"
    )


def test_the_folder_is_named_by_weights_data_and_settings() -> None:
    request = Request(weights=("a",), data=Path("b"))
    given = Given(path=Path("a"), sha256="w", variant="rexnet_1.0")

    def named(asked: Request, weights: Given = given, data: str = "d") -> str:
        (view,) = asked.views()
        return evaluation_folder(asked, given=weights, view=view, data=data)

    name = named(request)
    assert name == "evaluate-rexnet_1.0-8850234f"  # a folder once made is found again
    changes: tuple[dict[str, Any], ...] = (
        {"image_size": (288,)},
        {"decoder": "pillow"},
        {"crop_ratio": (1.0,)},
        {"interpolation": "bilinear"},
    )
    others = [
        named(request, replace(given, sha256="x")),
        named(request, data="e"),
        named(request, replace(given, variant="rexnet_1.3")),
        *(named(replace(request, **change)) for change in changes),
    ]
    assert len({name, *others}) == 1 + len(others)
    moved = replace(request, weights=("c",), data=Path("d"), expect=(77.9,), feeding=Feeding(workers=3))
    assert named(moved, replace(given, path=Path("c"))) == name


def test_labels_are_those_of_training_where_val_lacks_a_class(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "set"
    shutil.copytree(data, copy)
    names = sorted(path.name for path in (copy / "train").iterdir())
    shutil.rmtree(copy / "val" / names[0])
    index = open_val(copy, say=lambda line: None)
    assert index.classes == tuple(names) and set(index.labels.tolist()) == {1, 2}
    assert open_val(copy / "val", say=lambda line: None).classes == tuple(names[1:])


def test_a_met_expectation_ends_well_and_a_missed_one_with_one_sentence(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    given = (VARIANT, "--weights", weights, "--data", data, *SMALL)
    done = run("evaluate", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith(f"evaluate-{VARIANT}-")
    result = last_line(done)
    assert read(folder / "result.json") == result
    assert result["images"] == IMAGES and result["acc1"] == 100 * result["hits1"] / IMAGES
    assert result["weights_layout"] == "ours" and result["decoder"] == "dali" and result["image_size"] == 32
    assert result["expected"] is result["interval"] is result["published_acc1"] is None
    assert "expected" not in done.stdout.replace('"expected"', "") and "published " not in done.stdout
    attempt = read(folder / "attempt.json")
    assert attempt["state"] == "done" and f"Acc@1 {result['acc1']:.3f} %" in attempt["message"]

    met = run("evaluate", *given, "--expect", round(result["acc1"], 2), cwd=tmp_path)
    assert met.returncode == 0, met.stderr
    assert met.stdout.count("; within 0.10") == 1 and met.stderr == ""
    assert read(folder / "attempt.json")["message"] in met.stdout  # the same evaluation, the same folder
    low, high = last_line(met)["interval"]
    assert low < last_line(met)["difference"] < high and abs(last_line(met)["difference"]) < 0.01

    out, expected = tmp_path / "missed", result["acc1"] + 0.11
    missed = run("evaluate", *given, "--expect", expected, "--decoder", "pillow", "--out", out, processes=2)
    told = [
        line for line in missed.stdout.splitlines() + missed.stderr.splitlines() if "; beyond 0.10" in line
    ]
    assert missed.returncode == 1 and len(told) == 1, missed.stderr
    assert "evaluation.py" not in missed.stderr  # no traceback of ours, only torchrun's own summary
    attempt = read(out / "attempt.json")
    assert attempt["state"] == "fault" and told == [f"evaluate.py: {attempt['message']}"]
    assert last_line(missed) == read(out / "result.json")
    assert last_line(missed)["decoder"] == "pillow" and last_line(missed)["images"] == IMAGES
    assert last_line(missed)["difference"] == pytest.approx(-0.11, abs=1e-5)
    assert last_line(missed)["loss"] == pytest.approx(result["loss"], rel=1e-2)


def test_several_weights_see_the_same_images_and_each_has_its_own_folder(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    """A run's folder and the authors' layout of another network, at two sizes, on two processes."""
    finished = tmp_path / "finished"
    finished.mkdir()
    shutil.copy(weights, finished / "model.safetensors")
    torch.manual_seed(2)
    wide = create_model("rexnet_1.0", num_classes=3)
    theirs = translate(wide.state_dict(), wide.shape, source="ours", to="official")
    torch.save({"state_dict": theirs}, tmp_path / "theirs.pth")
    grid = ("--image-size", 32, 48, "--eval-batch", 5, "--crop-ratio", 1)
    wrong = ("--expect", 100, 100, 100, 100)
    files = ("finished", "theirs.pth")
    done = run("evaluate", "--weights", *files, "--data", data, *grid, *wrong, cwd=tmp_path, processes=2)
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("evaluate.py: "))
    assert done.returncode == 1 and told.count("; beyond 0.10") == 4, done.stderr
    assert f"{VARIANT} at 32 pixels, crop 1: Acc@1" in told
    *lines, last = done.stdout.splitlines()
    results = json.loads(last)
    keys = [(result["variant"], result["image_size"]) for result in results]
    assert keys == [(VARIANT, 32), ("rexnet_1.0", 32), (VARIANT, 48), ("rexnet_1.0", 48)]
    assert [result["weights_layout"] for result in results] == ["ours", "official"] * 2
    at = next(i for i, line in enumerate(lines) if line.startswith("network "))
    for line, result in zip(lines[at + 1 : at + 5], results, strict=True):
        wanted = [result["variant"], str(result["image_size"]), f"{result['acc1']:.3f}", result["weights"]]
        assert [word for word in wanted if word not in line.split()] == []
    (whole,) = (path for path in (tmp_path / "runs").iterdir() if "rexnet" not in path.name)
    assert read(whole / "results.json")["results"] == results
    assert read(whole / "attempt.json")["state"] == "fault"
    folders = {}
    for folder in (tmp_path / "runs").glob("evaluate-rexnet*"):
        result = read(folder / "result.json")
        folders[result["variant"], result["image_size"]] = folder
        attempt = read(folder / "attempt.json")
        assert result in results and f"{result['acc1']:.3f}" in attempt["message"]
        assert attempt["state"] == "fault" and result["expected"] == 100
        with (folder / "classes.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert sum(int(row["images"]) for row in rows) == IMAGES and len(rows) == 3
        assert sum(int(row["hits@1"]) for row in rows) == result["hits1"]
    assert len(folders) == 4

    assert "expected" in lines[at]
    alone = run("evaluate", "--weights", finished, "--data", data, *grid[:2], *grid[3:], cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert f"Evaluation folder: runs/{folders[VARIANT, 32].name}" in alone.stdout  # the same as of several
    asked = ("weights", "expected", "tolerance", "difference", "interval")
    ours = last_line(alone) | {name: results[0][name] for name in asked}
    assert ours.pop("loss") == pytest.approx(results[0].pop("loss"), rel=1e-12) and ours == results[0]


def test_pillow_needs_no_dali_and_a_miss_is_exit_code_1(data: Path, weights: Path, tmp_path: Path) -> None:
    program = (
        "import runpy, sys; sys.modules['nvidia.dali'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    flags = ("--decoder", "pillow", "--expect", 100, "--tolerance", 0.5, "--out", tmp_path / "out")
    _, *words = command("evaluate", VARIANT, "--weights", weights, "--data", data, *SMALL, *flags)
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == f"evaluate.py: {read(tmp_path / 'out' / 'attempt.json')['message']}\n"
    assert "expected 100.00 %" in done.stderr and last_line(done)["images"] == IMAGES


MISTAKES = {
    "a share": (["--expect", "0.7786"], ["reads as a share", "--expect 77.86"]),
    "above 100": (["--expect", "120"], ["expect is 120", "percentage", "77.86"]),
    "negative": (["--expect", "-3"], ["expect is -3", "percentage"]),
    "not a number": (["--expect", "nan"], ["expect is nan", "percentage"]),
    "comma": (["--expect", "77,86"], ["'77,86' is no number", "--expect 77.86"]),
    "tolerance": (["--expect", "77.86", "--tolerance", "-1"], ["tolerance is -1"]),
    "misspelt flag": (["--expct", "77.86"], ["--expct", "--expect"]),
    "image size": (["--image-size", "16"], ["16", "--image-size 32"]),
    "sizes with a comma": (["--image-size", "224,256"], ["'224,256' is no", "--image-size 224 256"]),
    "a size twice": (["--image-size", "224", "256", "224"], ["names a value twice: 224 256 224"]),
    "crop in percent": (["--crop-ratio", "87.5"], ["crop-ratio is 87.5", "at most 1"]),
    "no weights": (["--weights"], ["no weights are named"]),
    "weights twice": (["--weights", "w.pth", "v.pth", "w.pth"], ["w.pth is named twice"]),
    "several figures": (
        ["--expect", "77.86", "--image-size", "224", "256"],
        ["--expect has 1 figures for 2 evaluations"],
    ),
    "hub": (["--weights", "hf-hub:rexnet_100"], ["hf-hub:OWNER/NAME", "hf-hub:timm/rexnet_100.nav_in1k"]),
    "decoder": (["--decoder", "pil"], ["'pil'", "'pillow'"]),
    "timing": (["--decode", "measure"], ["--decode measure", "--decode auto, gpu or cpu"]),
    "two decoders": (["--decoder", "pillow", "--decode", "gpu"], ["--decode gpu"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_arguments(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, wanted = MISTAKES[mistake]
    refused(
        ["rexnet_1.0", "--weights", "w.pth", "--data", "x", *flags], wanted, tmp_path, monkeypatch, capsys
    )


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("rexnet1.3", "did you mean rexnet_1.3?"),
        ("rexnetv1_1.5", "did you mean rexnet_1.5?"),
        ("rexnet_220", "did you mean rexnet_2.2?"),
        ("rexnet-lite-1.0", "did you mean rexnet_lite_1.0?"),
        ("resnet_50", "there is no network 'resnet_50'; there are rexnet_1.0"),
        ("rexnet_nan", "must be positive"),
    ],
)
def test_unknown_variants(
    variant: str,
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused([variant, "--weights", "w.pth", "--data", "x"], [wanted], tmp_path, monkeypatch, capsys)


def test_mistakes_in_the_files(
    data: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    shutil.copy(weights, run_folder / "model.safetensors")
    (run_folder / "run.json").write_text("{}")
    own = tmp_path / "mine"
    own.mkdir()
    (own / "result.json").write_text("mine")
    without_val = tmp_path / "without"
    shutil.copytree(data / "train", without_val / "train")
    shutil.copytree(data / "val", without_val / "validation")
    flags = {"--weights": weights, "--data": data, "--out": tmp_path / "out"}
    for change, wanted in (
        ({"--weights": tmp_path / "none.pth"}, ["no weights file", "none.pth"]),
        ({"--weights": tmp_path}, ["is a folder without model.safetensors", "a .safetensors or .pth file"]),
        ({"--weights": "rexnet_1.0"}, ["no weights file rexnet_1.0", "hf-hub:timm/rexnet_100.nav_in1k"]),
        ({"--weights": "timm/rexnet_100.nav_in1k"}, ["did you mean hf-hub:timm/rexnet_100.nav_in1k?"]),
        ({"--data": run_folder}, ["no class folders"]),
        ({"--data": tmp_path / "nowhere"}, ["no folder", "nowhere; what exists is "]),
        ({"--num-classes": 2}, ["num-classes is 2", "3 class folders"]),
        (
            {"--num-classes": 4},
            ["w.safetensors tells 3 classes apart, but wanted are 4", "train.py finetune"],
        ),
        ({"--out": run_folder}, ["holds a training run", "--out DIR"]),
        ({"--out": weights}, ["is a file", "--out DIR"]),
        ({"--out": own}, ["holds result.json, which no evaluation has written", "--out DIR"]),
        ({"--data": without_val}, ["val"]),
    ):
        words = [str(word) for flag in (flags | change).items() for word in flag]
        refused([VARIANT, *words], wanted, tmp_path, monkeypatch, capsys)
    words = [str(word) for flag in flags.items() for word in flag]
    refused(
        ["rexnet_1.3", *words],
        ["holds weights of rexnet_0.2, not of rexnet_1.3"],
        tmp_path,
        monkeypatch,
        capsys,
    )
    foreign = tmp_path / "foreign.pth"
    torch.save(load_file(weights), foreign)
    wanted = ["foreign.pth does not say which network it is of", "evaluate.py rexnet_WIDTH --weights"]
    refused(["--weights", str(foreign), "--data", str(data)], wanted, tmp_path, monkeypatch, capsys)
    (run_folder / "last.pt").touch()
    (run_folder / "model.safetensors").rename(tmp_path / "moved.safetensors")
    wanted = ["its run has not ended", f"--weights {run_folder}/last.pt"]
    refused(["--weights", str(run_folder), "--data", str(data)], wanted, tmp_path, monkeypatch, capsys)
    (tmp_path / "moved.safetensors").rename(run_folder / "model.safetensors")
    (run_folder / "last.pt").unlink()
    assert sorted(path.name for path in run_folder.iterdir()) == ["model.safetensors", "run.json"]


def refused(
    words: list[str],
    wanted: list[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line that holds all that is `wanted`, exit code 2, and the same line in attempt.json."""
    from launch.evaluate import main

    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["launch/evaluate.py", *words])
    assert main(words) == 2
    told = capsys.readouterr()
    lines = (told.out + told.err).splitlines()
    assert len(lines) == 1 and lines[0].startswith("evaluate.py: "), lines
    assert all(part in lines[0] for part in wanted), lines
    out = own_folder(Path(words[words.index("--out") + 1])) if "--out" in words else None
    attempt = read((out or Path("runs")) / "attempt.json")
    assert attempt["state"] == "user-error" and lines == [f"evaluate.py: {attempt['message']}"]


@pytest.mark.parametrize(
    ("images", "wanted"),
    [("100", "take --eval-batch 50, or a smaller --image-size"), ("1", ": take a smaller --image-size")],
)
def test_out_of_memory_shows_fewer_at_once(
    images: str,
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A stand-in raises what torch raises."""

    def evaluate_weights(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("launch.evaluation.evaluate_weights", evaluate_weights)
    words = ["--weights", "w.pth", "--data", "set", "--eval-batch", images]
    told = f"the GPU has not enough memory to show {images} images at once"
    refused(words, [told, wanted], tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["rexnet_1.0", "--expect", "2,5"], 2)])
def test_help_and_mistakes_wait_for_no_torch(words: list[str], code: int, tmp_path: Path) -> None:
    program = (
        "import sys; from launch.evaluate import main; code = main(sys.argv[1:]); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(REPOSITORY)),
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, "False"), done.stderr
    assert (tmp_path / "runs" / "attempt.json").exists() == bool(code)
