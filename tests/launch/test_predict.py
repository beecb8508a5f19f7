"""The prediction program: what it answers, what it says of files without an answer, and what it refuses."""

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from launch.imagenet_names import described, imagenet_words
from launch.predict import main
from launch.predict_request import PredictRequest
from launch.prediction import Guess, predict, show_table
from launch.provenance import trace
from pipeline import loader, synthetic
from pipeline.config import Evaluation, Feeding
from pipeline.index import open_index
from rexnet.layouts import translate
from rexnet.model import ReXNet, create_model
from rexnet.weights import save_weights
from tests.launch.program import run
from tests.launch.test_publishing import finished
from tests.rexnet.reference import filled, official_state

VARIANT, SIZE, CROP = "rexnet_0.2", 64, 0.9
NAMES = ("arrow", "ring", "star")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("predict") / "set", classes=3, train=3, val=7) / "val"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    model = create_model(VARIANT, num_classes=3)
    model.load_state_dict(filled(model.state_dict()))
    shown = {"image_size": SIZE, "crop_ratio": CROP, "interpolation": "bilinear"}
    save_weights(model, path, variant=VARIANT, class_names=NAMES, **shown)
    return path


def answers(capsys: pytest.CaptureFixture[str], *files: Path, code: int = 0, **asked: Any) -> dict[str, Any]:
    assert min(predict(PredictRequest(files=files, json=True, **asked)), 1) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("decoder", ["dali", "pillow"])
def test_images_are_shown_as_evaluation_shows_them(
    decoder: Any, images: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same logits, to the last bit, as over the class folders at the size that the weights tell."""
    found = answers(capsys, images, weights=weights, top=9, decoder=decoder)
    assert (found["image_size"], found["crop_ratio"], found["interpolation"]) == (SIZE, CROP, "bilinear")
    index = open_index(images, say=lambda line: None)
    module = __import__("pipeline.pillow", fromlist=["pillow"]) if decoder == "pillow" else loader
    evaluation = Evaluation(crop_ratio=CROP, interpolation="bilinear")
    (batch,) = module.eval_batches(
        index, evaluation=evaluation, feeding=Feeding(), rank=0, world_size=1, device=torch.device("cpu"),
        image_size=SIZE,
    )  # fmt: skip
    model = create_model(VARIANT, weights=weights).eval().to(memory_format=torch.channels_last)  # type: ignore
    with torch.inference_mode():
        shares = model(batch.images).softmax(1)
    assert len(found["predictions"]) == len(index) == 7
    for i, answer in enumerate(found["predictions"]):
        assert answer["file"] == str(index.path(i))
        assert [guess["class"] for guess in answer["top"]] == shares[i].argsort(descending=True).tolist()
        assert all(
            guess["probability"] == round(float(shares[i, guess["class"]]), 6) for guess in answer["top"]
        )
        assert all(guess["name"] == NAMES[guess["class"]] for guess in answer["top"])
    again = answers(capsys, images, weights=weights, image_size=32, crop_ratio=1.0, decoder=decoder)
    assert (again["image_size"], again["crop_ratio"]) == (32, 1.0)
    assert again["predictions"] != found["predictions"]


def test_files_without_an_answer_are_named_and_the_others_answered(
    images: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = sorted(images.rglob("*.jpg"))[0]
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:900])
    strange = tmp_path / "deep" / "[red]a\nb.jpg"
    strange.parent.mkdir()
    shutil.copy(good, strange)
    given = (tmp_path, "nowhere.png", good, "--weights", weights, "--top", 2)
    monkeypatch.chdir(tmp_path)
    assert main([*map(str, given)]) == 1
    shown = capsys.readouterr()
    told = sorted(line.removeprefix("predict.py: ") for line in shown.err.splitlines())
    assert len(told) == 3 and told[2] == "nowhere.png is not there"
    assert "cut.jpg has no end mark" in told[0] and "text.jpg is no intact image" in told[1]
    lines = shown.out.splitlines()
    assert lines[0].split() == ["Image", "%", "Class"] and len(lines) == 5
    assert f"{strange.parent}/[red]a\\nb.jpg" in lines[1] and str(good) in lines[3]
    assert lines[1].split()[1:] == lines[3].split()[1:]
    clean = run("predict", *given, "--json", cwd=tmp_path)
    found = json.loads(clean.stdout)
    assert clean.returncode == 1 and [a["file"] for a in found["predictions"]] == [str(strange), str(good)]
    assert sorted(Path(bad["file"]).name for bad in found["bad"]) == ["cut.jpg", "nowhere.png", "text.jpg"]


def test_nothing_that_can_be_answered(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(PredictRequest(files=(Path("nowhere.jpg"),), weights=weights)) == 1
    assert capsys.readouterr().out == ""


def test_a_runs_folder_tells_names_and_size(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")  # its predictions name a, b, c; the demo is evaluated at 64 pixels
    save_weights(
        create_model("rexnet_1.0", num_classes=4), folder / "model.safetensors", variant="rexnet_1.0"
    )
    for given in (folder, folder / "model.safetensors"):
        known = trace(given, variant=None, say=lambda line: None)
        assert known.class_names == ("a", "b", "c", "class 3") and known.variant == "rexnet_1.0"
        assert (known.image_size, known.crop_ratio, known.interpolation, known.final) == (
            64,
            1.0,
            "bicubic",
            True,
        )
    shutil.copy(folder / "model.safetensors", tmp_path / "alone.safetensors")
    known = trace(tmp_path / "alone.safetensors", variant=None, say=lambda line: None)
    assert known.class_names is known.image_size is known.run is None and not known.final


def test_an_unfinished_runs_checkpoint_is_taken_where_it_is_named(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    (folder / "model.safetensors").unlink()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    model = create_model("rexnet_1.0", num_classes=3)
    torch.save({"state": {"ema": model.state_dict(), "model": {}}}, folder / "last.pt")
    with pytest.raises(ValueError, match=r"has not ended.*WEIGHTS .*last\.pt"):
        trace(folder, variant=None, flag="WEIGHTS", say=print)
    known = trace(folder / "last.pt", variant=None, say=print)
    assert known.variant == "rexnet_1.0" and known.image_size == 64
    assert known.run is not None and not known.final and known.class_names is None


def test_the_network_is_known_by_its_shapes(tmp_path: Path) -> None:
    for variant in ("rexnet_1.5", "rexnet_lite_1.0"):
        torch.save(official_state(variant), tmp_path / "w.pth")
        assert trace(tmp_path / "w.pth", variant=None, say=print).variant == variant
    model = create_model("rexnet_1.0", num_classes=7)
    torch.save(translate(model.state_dict(), model.shape, source="ours", to="timm"), tmp_path / "t.pth")
    assert trace(tmp_path / "t.pth", variant=None, say=print).variant == "rexnet_1.0"
    torch.save(create_model(VARIANT, num_classes=3).state_dict(), tmp_path / "small.pth")
    with pytest.raises(ValueError, match="name it: --variant rexnet_WIDTH"):
        trace(tmp_path / "small.pth", variant=None, say=lambda line: None)
    assert trace(tmp_path / "small.pth", variant=VARIANT, say=lambda line: None).classes == 3


def test_classes_have_words_where_they_are_imagenets() -> None:
    words, said = imagenet_words(), list[str]()
    assert len(words) == 1000 and list(words) == sorted(words) and all(words.values())
    known = described(None, classes=1000, say=said.append)
    assert known[207] == "n02099601 golden retriever" and "taken to be those of ImageNet-1k" in said[0]
    assert described(("n01440764", "mine"), classes=2, say=said.append) == ("n01440764 tench", "mine")
    assert len(said) == 1
    assert described(None, classes=2, say=said.append) == ("class 0", "class 1")


def test_the_table_fits_a_terminal_and_is_whole_off_it() -> None:
    long = Path("folder/" * 20 + "a.jpg")
    found = {long: [Guess(label=0, name="[bold]cat", probability=0.5)]}
    whole, narrow = StringIO(), StringIO()
    show_table(found, console=Console(file=whole, markup=False))
    show_table(
        found, console=Console(file=narrow, markup=False, force_terminal=True, width=50, color_system=None)
    )
    assert str(long) in whole.getvalue() and "[bold]cat" in whole.getvalue()
    assert max(map(len, narrow.getvalue().splitlines())) <= 50 and "[bold]cat" in narrow.getvalue()


MISTAKES = {
    "no files": ([], ["name at least one image"]),
    "empty folder": (["EMPTY"], ["holds no image"]),
    "no weights": (["a.jpg", "--weights", "nowhere"], ["no weights file nowhere", "a run's folder"]),
    "other folder": (["a.jpg", "--weights", "HERE"], ["is a folder without model.safetensors"]),
    "other variant": (["a.jpg", "--variant", "rexnet_1.0"], [f"weights of {VARIANT}", "leave out --variant"]),
    "top": (["a.jpg", "--top", "0"], ["--top 5"]),
    "size": (["a.jpg", "--image-size", "16"], ["--image-size 32"]),
    "crop": (["a.jpg", "--crop-ratio", "2"], ["crop-ratio is 2"]),
    "no crop": (["a.jpg", "--crop-ratio", "0"], ["crop-ratio is 0"]),
    "batch": (["a.jpg", "--eval-batch", "0"], ["the evaluation batch is 0"]),
    "decoders": (["a.jpg", "--decoder", "pillow", "--decode", "gpu"], ["--decode gpu"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, wanted = MISTAKES[mistake]
    places = {"EMPTY": str(tmp_path), "HERE": str(weights.parent)}
    words = [places.get(word, word) for word in words]
    if "--weights" not in words:
        words += ["--weights", str(weights)]
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("predict.py: ") and told.err.count("\n") == 1
    assert all(part in told.err for part in wanted), told.err


def test_images_are_shown_as_many_at_once_as_asked_for(
    images: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network with memory for four images says what to type, and that works."""
    sizes = []

    def forward(self: ReXNet, batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return plain(self, batch)

    plain = ReXNet.forward
    monkeypatch.setattr(ReXNet, "forward", forward)
    words = [str(images), "--weights", str(weights), "--json"]
    assert main([*words, "--eval-batch", "5"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err == (
        "predict.py: rank 0: the GPU has not enough memory to show 5 images at once: take --eval-batch 2, "
        "or a smaller --image-size\n"
    )
    assert main([*words, "--eval-batch", "2"]) == 0
    assert sizes == [5, 2, 2, 2, 1]
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 7
