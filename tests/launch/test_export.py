"""Weights handed on: what each format holds, who loads it, what the card tells, and what is refused."""

import json
import os
import re
import subprocess
import sys
import tempfile
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from safetensors.torch import load_file

import rexnet
from launch.case import told_otherwise
from launch.export_request import ExportRequest
from launch.exporting import export
from launch.formats import markdown, onnx_file, sums
from launch.formats.contents import Contents
from launch.formats.tensors import write_official
from launch.formats.timm_folder import timm_config, write_timm
from launch.provenance import trace
from launch.request import Request
from rexnet.model import create_model
from rexnet.weights import save_weights
from tests.launch.program import REPOSITORY, environment, run
from tests.launch.test_publishing import changed, finished
from tests.rexnet.reference import OFFICIAL, TIMM, filled, images, official_state

VARIANT, SIZE = "rexnet_0.2", 64
NAMES = ("ring", "a|b `c` <script>x</script>", "[star](http://x)\n# *d*")


def network(variant: str = VARIANT, *, classes: int = 3) -> rexnet.ReXNet:
    """A network whose norms do something."""
    model = create_model(variant, num_classes=classes)
    model.load_state_dict(filled(model.state_dict()))
    return model.eval()


def contents(model: rexnet.ReXNet, variant: str, **known: Any) -> Contents:
    usual = {"class_names": None, "image_size": 224, "crop_ratio": 0.875, "interpolation": "bicubic"}
    return Contents(model=model, variant=variant, evaluated_at=224, **(usual | known))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    shown = {"image_size": SIZE, "crop_ratio": 0.9, "interpolation": "bilinear"}
    save_weights(network(), path, variant=VARIANT, class_names=NAMES, **shown)
    return path


def request(weights: Path, out: Path, **asked: Any) -> ExportRequest:
    return ExportRequest(weights=weights, out=out, **asked)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(images(2, size=SIZE))


@pytest.mark.parametrize("variant", ["rexnet_1.0", "rexnet_lite_1.0"])
def test_pth_is_the_authors_state_dict(variant: str, tmp_path: Path) -> None:
    state = official_state(variant)
    written = write_official(contents(create_model(variant, weights=state).eval(), variant), tmp_path)
    loaded = torch.load(tmp_path / written.name, weights_only=True)
    assert list(loaded) == list(OFFICIAL[variant]["state_dict"])
    assert all(loaded[name].equal(state[name]) for name in state)


@pytest.mark.parametrize("variant", ["rexnet_1.0", "rexnet_2.0"])
def test_timm_files_have_timms_names_shapes_and_description(variant: str, tmp_path: Path) -> None:
    known = contents(create_model(variant).eval(), variant, class_names=[str(i) for i in range(1000)])
    write_timm(known, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    assert {name: [*tensor.shape] for name, tensor in state.items()} == TIMM[variant]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("label_names") == [str(i) for i in range(1000)]
    width = float(variant.removeprefix("rexnet_"))
    assert config == {
        "architecture": f"rexnet_{100 * width:.0f}",
        "num_classes": 1000,
        "num_features": int(1280 * width),
        "global_pool": "avg",
        "pretrained_cfg": {
            "num_classes": 1000,
            "input_size": [3, 224, 224],
            "pool_size": [7, 7],
            "fixed_input_size": False,
            "crop_pct": 0.875,
            "crop_mode": "center",
            "interpolation": "bicubic",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "first_conv": "stem.conv",
            "classifier": "head.fc",
            "license": "mit",
        },
    }


def test_widths_without_a_name_in_timm_are_its_smallest_with_an_argument() -> None:
    config = timm_config(contents(create_model("rexnet_2.2"), "rexnet_2.2"))
    assert config["architecture"] == "rexnet_100" and config["model_args"] == {"width_mult": 2.2}


def timm_python() -> str:
    """The Python whose timm tests ask: REXNET_TIMM_PYTHON, else this one's, else the test skips."""
    python = os.environ.get("REXNET_TIMM_PYTHON") or (sys.executable if find_spec("timm") else None)
    if python is None:
        pytest.skip("timm is not installed here, and REXNET_TIMM_PYTHON names no Python that has it")
    return python


@pytest.mark.parametrize("variant", ["rexnet_1.0", VARIANT])
def test_timm_itself_loads_the_folder_unchanged(variant: str, tmp_path: Path) -> None:
    python, model = timm_python(), network(variant)
    save_weights(model, tmp_path / "w.safetensors", variant=variant, class_names=NAMES)
    export(request(tmp_path / "w.safetensors", tmp_path / "out", formats=("timm", "pth"), image_size=SIZE))
    torch.save(images(2, size=SIZE), tmp_path / "images.pt")
    program = """
import sys, timm, torch
model = timm.create_model(f"local-dir:{sys.argv[1]}/out", pretrained=True).eval()
assert model.pretrained_cfg["input_size"][1] == int(sys.argv[2])
timm.data.create_transform(**timm.data.resolve_model_data_config(model))
with torch.inference_mode():
    torch.save(model(torch.load(f"{sys.argv[1]}/images.pt")), f"{sys.argv[1]}/logits.pt")
"""
    done = subprocess.run(
        [python, "-c", program, str(tmp_path), str(SIZE)], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert (torch.load(tmp_path / "logits.pt") - logits(model)).abs().max() < 1e-4


def test_an_export_is_checked_described_and_made_anew(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ("export", weights, "--out", out)
    done = run(*given, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    files = {f"{VARIANT}.safetensors", f"{VARIANT}.pth", "model.safetensors", "config.json"}
    assert {path.name for path in out.iterdir()} == files | {"LICENSE", "README.md", "SHA256SUMS"}
    assert done.stdout.count("the same logits as the source, on 8 random images") == 3
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count(": OK") == 6
    assert (out / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    for name in (f"{VARIANT}.safetensors", f"{VARIANT}.pth", "model.safetensors"):
        assert logits(create_model(VARIANT, weights=out / name).eval()).equal(logits(network()))
    assert rexnet.read_class_names(out / f"{VARIANT}.safetensors") == [*NAMES]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    export(request(weights, out))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(request(weights, Path(), formats=("pth",)))
    assert {path.name for path in Path().iterdir()} == {
        f"{VARIANT}.pth", "LICENSE", "README.md", "SHA256SUMS"
    }  # fmt: skip
    assert len([*tmp_path.iterdir()]) == 1


def test_half_precision_is_half_the_size_and_nearly_the_same(weights: Path, tmp_path: Path) -> None:
    export(request(weights, tmp_path / "whole"))
    export(request(weights, tmp_path / "half", fp16=True))
    source = logits(network())
    for name in (f"{VARIANT}.safetensors", f"{VARIANT}.pth", "model.safetensors"):
        whole, half = tmp_path / "whole" / name, tmp_path / "half" / name
        assert half.stat().st_size < 0.6 * whole.stat().st_size
        difference = (logits(create_model(VARIANT, weights=half).eval()) - source).abs().max()
        assert 0 < difference < 1e-2 * source.abs().max()
    card = (tmp_path / "half" / "README.md").read_text()
    assert "rounded to float16" in card and "logits within" in card


def test_folded_weights_are_of_formats_that_hold_them(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(request(weights, tmp_path / "out", fold=True))
    assert "left out: pth" in capsys.readouterr().out
    path = tmp_path / "out" / f"{VARIANT}.safetensors"
    assert (logits(create_model(VARIANT, weights=path)) - logits(network())).abs().max() < 1e-4
    card = (tmp_path / "out" / "README.md").read_text()
    assert "for evaluation only, not for training" in card and "timm" not in card
    with pytest.raises(ValueError, match=r"pth and timm want.*--formats safetensors onnx"):
        request(weights, tmp_path / "no", fold=True, formats=("pth", "timm"))
    with pytest.raises(ValueError, match="format timm is not possible: its network has norms"):
        export(request(path, tmp_path / "no", formats=("timm",)))
    assert not (tmp_path / "no").exists()


def test_formats_that_have_no_such_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_weights(network("rexnet_lite_0.3"), tmp_path / "w.safetensors", variant="rexnet_lite_0.3")
    export(request(tmp_path / "w.safetensors", tmp_path / "out", image_size=32))
    assert "left out: timm, since timm has no ReXNet-lite" in capsys.readouterr().out
    with pytest.raises(ValueError, match="timm has no ReXNet-lite"):
        export(request(tmp_path / "w.safetensors", tmp_path / "no", formats=("timm",)))


def test_weights_that_float16_cannot_hold(tmp_path: Path) -> None:
    model = network()
    torch.nn.init.constant_(model.classifier.bias, 1e6)
    save_weights(model, tmp_path / "w.safetensors", variant=VARIANT)
    with pytest.raises(ValueError, match=r"float16 cannot hold classifier\.bias: leave out --fp16"):
        export(request(tmp_path / "w.safetensors", tmp_path / "out", fp16=True))
    assert not (tmp_path / "out").exists()


def test_only_an_untouched_export_is_replaced(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(request(weights, out, formats=("pth",)))
    kept = sorted(out.iterdir())
    monkeypatch.setattr("launch.formats.nearness.EXACT", -1.0)
    monkeypatch.setattr("launch.exporting.EXACT", -1.0)
    with pytest.raises(ValueError, match=r"does not give the answers of the weights"):
        export(request(weights, out))
    assert sorted(out.iterdir()) == kept and [*tmp_path.iterdir()] == [out]
    monkeypatch.undo()
    with (out / "README.md").open("a") as card:
        card.write("my own words\n")
    for folder in (out, finished(tmp_path / "run")):
        with pytest.raises(ValueError, match=r"not of an earlier export, or were changed.*--out DIR"):
            export(request(weights, folder))
    (out / "README.md").write_text("")
    (out / sums.NAME).write_text("not sums\n")
    assert not sums.is_untouched(out)
    with pytest.raises(ValueError, match="is a file"):
        export(request(weights, out / "README.md"))


FULL = """
import resource, signal, sys
from launch.export import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_a_full_disk_leaves_nothing(weights: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", FULL, weights, "--variant", VARIANT, "--out", out, "--formats", form],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    said = f"export.py: the export to {out} failed: File too large; nothing of it is kept, and"
    assert done.stderr == f"{said} the same command begins anew\n"
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])


def test_a_folder_on_another_file_system_is_replaced(weights: Path, tmp_path: Path) -> None:
    """A mounted volume, say, which nothing beside it can be moved into."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system here")
    out = tmp_path / "out"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        out.symlink_to(elsewhere)
        for formats in (("safetensors", "pth"), ("pth",)):
            export(request(weights, out, formats=formats))
        assert (
            sums.is_untouched(out)
            and sorted(path.suffix for path in out.iterdir()).count(".safetensors") == 0
        )
        assert [*tmp_path.iterdir()] == [out]


def test_onnx_without_its_packages_names_the_command(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        onnx_file, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    with pytest.raises(ValueError) as told:
        export(request(weights, tmp_path / "out", formats=("onnx",)))
    assert "needs onnxruntime" in str(told.value) and '-e ".[export]"' in str(told.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("half", "size"), [(False, SIZE), (True, 96)])
def test_onnx_gives_the_same_answers_for_any_number_of_images(
    half: bool, size: int, weights: Path, tmp_path: Path
) -> None:
    import onnxruntime

    asked = {"fp16": half, "fold": half, "image_size": None if size == SIZE else size}
    export(request(weights, tmp_path / "out", formats=("onnx",), **asked))
    path = tmp_path / "out" / f"{VARIANT}.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model = network()
    for count in (1, 2, 7):
        shown = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))
        (found,) = session.run(["logits"], {"images": shown.numpy()})
        with torch.inference_mode():
            wanted = model(shown)
        tolerance = 1e-2 * float(wanted.abs().max()) if half else 1e-4
        assert (torch.from_numpy(found) - wanted).abs().max() < tolerance
    told = session.get_modelmeta().custom_metadata_map
    assert told["variant"] == VARIANT and json.loads(told["class_names"]) == [*NAMES]
    assert told["image_size"] == str(size)


def front(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


def trained(folder: Path, **facts: Any) -> Path:
    """The folder of a finished run with weights."""
    finished(folder, **facts)
    save_weights(network("rexnet_1.0"), folder / "model.safetensors", variant="rexnet_1.0", class_names=NAMES)
    return folder


def test_the_card_tells_what_the_run_recorded(tmp_path: Path) -> None:
    export(request(trained(tmp_path / "run"), tmp_path / "out", formats=("timm",)))
    card = (tmp_path / "out" / "README.md").read_text()
    assert front(card) == {
        "license": "mit",
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "rexnet", "timm"],
        "metrics": ["accuracy"],
    }
    for wanted in (
        "| Acc@1 | 75.00 % | 46.77 to 91.11 % | 12 |",
        "torchrun launch/train.py demo\n",
        "| Recipe | `demo` |",
        "| Multiply-accumulates | 0.03 billion for an image of 64 x 64 pixels |",
        "(0.485, 0.456, 0.406)",
        "1f2e3d4c5b6a",
        "NAVER",
        'timm.create_model("local-dir:FOLDER", pretrained=True)',
    ):
        assert wanted in card, wanted
    assert "Published" not in card and str(tmp_path) not in card


def test_results_of_imagenet_stand_beside_the_published_ones(tmp_path: Path) -> None:
    data = {"name": "imagenet-1k", "classes": 3, "train_images": 1281167, "val_images": 50000}
    official = {"acc1": 77.9, "acc5": 93.9}
    run_folder = trained(tmp_path / "run", data="/secret/place", official=official)
    facts = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(json.dumps(facts | {"data": facts["data"] | data}))
    export(request(run_folder, tmp_path / "out", formats=("pth",)))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| Acc@1 | 75.00 % | 46.77 to 91.11 % | 12 | 77.9 % |" in card
    head = front(card)
    assert head["datasets"] == ["imagenet-1k"] and head["library_name"] == "pytorch"
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [
        {"type": "accuracy", "name": "Acc@1", "value": 75.0},
        {"type": "accuracy", "name": "Acc@5", "value": 100.0},
    ]
    assert "torchrun launch/train.py demo --data DIR" in card and "secret" not in card


def test_at_another_size_every_reader_is_told_where_the_weights_were_evaluated(tmp_path: Path) -> None:
    """The demo's are at 64 pixels: in the card and in headers; what timm is to show is as asked for."""
    data = {"name": "imagenet-1k", "classes": 3, "train_identity": "ab12", "val_identity": "cd34"}
    folder, out = changed(trained(tmp_path / "run"), data=data), tmp_path / "out"
    told, row = (
        "Measured at 64 pixels, not at the 96 below.",
        "96 x 96 pixels, the central crop; the weights were",
    )
    for size in (None, 64, 96):
        export(request(folder, out, formats=("safetensors", "timm"), image_size=size))
        card = (out / "README.md").read_text()
        assert (told in card, f"{row} evaluated at 64 |" in card) == (size == 96, size == 96)
        (result,) = front(card)["model-index"][0]["results"]
        measured = ", measured at 64 pixels" if size == 96 else ""
        assert [metric["name"] for metric in result["metrics"]] == [f"Acc@1{measured}", f"Acc@5{measured}"]
        config = json.loads((out / "config.json").read_text())
        assert config["pretrained_cfg"]["input_size"] == [3, size or 64, size or 64]
        for name in ("rexnet_1.0.safetensors", "model.safetensors"):
            assert rexnet.read_metadata(out / name)["image_size"] == "64"
            assert trace(out / name, variant=None, say=pytest.fail).image_size == 64  # predict's
            flags = "--image-size 64 --crop-ratio 1.0 --interpolation bicubic"
            for shown, otherwise in ((64, None), (96, flags)):
                views = Request(data=tmp_path, weights=("w",), image_size=(shown,), crop_ratio=(1.0,)).views()
                assert told_otherwise(out / name, views) == otherwise


def test_an_asked_size_is_not_taken_for_one_of_an_evaluation(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "plain.pth")
    asked = {"formats": ("safetensors",), "variant": VARIANT, "image_size": 96}
    export(request(tmp_path / "plain.pth", tmp_path / "out", **asked))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "96 x 96 pixels, the central crop; assumed: nothing tells how the weights were evaluated" in card
    told = rexnet.read_metadata(tmp_path / "out" / f"{VARIANT}.safetensors")
    assert not {"image_size", "crop_ratio", "interpolation"} & {*told}


def test_nothing_is_told_that_was_not_measured(tmp_path: Path, weights: Path) -> None:
    unfinished = trained(tmp_path / "run")
    lines = (unfinished / "metrics.jsonl").read_text().splitlines()
    (unfinished / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    torch.save({"state": {"ema": network("rexnet_1.0").state_dict()}}, unfinished / "last.pt")
    (unfinished / "model.safetensors").unlink()
    plain = tmp_path / "plain.pth"
    torch.save(network().state_dict(), plain)
    for source, wanted in (
        (unfinished / "last.pt", "Not measured here: the run has not ended."),
        (weights, "Not measured here: these weights came without the run"),
        (plain, "assumed: nothing tells how the weights were evaluated"),
    ):
        export(
            request(
                source,
                tmp_path / "out",
                formats=("safetensors",),
                variant=None if source != plain else VARIANT,
            )
        )
        card = (tmp_path / "out" / "README.md").read_text()
        assert wanted in card and "75.00" not in card and "model-index" not in front(card)
    assert "image_size" not in rexnet.read_metadata(tmp_path / "out" / f"{VARIANT}.safetensors")


def test_names_of_users_stay_words(tmp_path: Path) -> None:
    """Through a parser of Markdown: no tag, link, heading, cell or line of theirs comes to be."""
    hostile = "x`|<img src=x>\n---\n# [a](http://b) {%"
    folder = trained(tmp_path / "run", recipe=hostile, machine={"cpu": hostile, "cores": 2}, git=hostile)
    export(request(folder, tmp_path / "out", formats=("pth",)))
    card = (tmp_path / "out" / "README.md").read_text()
    assert front(card)["license"] == "mit"
    html = MarkdownIt("commonmark").enable("table").render(card.split("---\n", 2)[2])
    assert "<script" not in html and "<img" not in html and 'href="http://' not in html
    assert html.count("<h1>") == 1 and "&lt;img src=x&gt;" in html and "&lt;script&gt;" in html
    cells = dict(re.findall(r"<td>(.*?)</td>\n<td>(.*?)</td>", html))
    shown = {
        name: unescape(re.sub(r"</?code>", "", cells[name]))
        for name in ("Machine", "Source revision", "Recipe")
    }
    line = hostile.replace("\n", "\\x0a")
    assert shown["Source revision"] == line and shown["Machine"] == f"{line}, 2 cores"
    assert shown["Recipe"] == line.replace("|", "¦")  # which cuts a cell, in code too
    assert "not one of this project's" in card and '"weight_decay": 2e-05' in card


@pytest.mark.parametrize("text", ["a`b``c", "`", "a|b", "\x1b[31m", "é\udcff", ""])
def test_code_spans_hold_any_word(text: str) -> None:
    html = (
        MarkdownIt("commonmark").enable("table").render(f"| {markdown.code(text)} | end |\n| --- | --- |\n")
    )
    assert html.count("<th>") == 2 and (html.count("<code>") == 1 or not text)


MISTAKES = {
    "no out": (["w.pth"], ["--out"]),
    "format": (["w.pth", "--out", "o", "--formats", "coreml"], ["coreml", "onnx"]),
    "size": (["w.pth", "--out", "o", "--image-size", "3"], ["--image-size 32"]),
    "no weights": (["nowhere.pth", "--out", "o"], ["no weights file nowhere.pth"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from launch.export import main

    monkeypatch.chdir(tmp_path)
    words, wanted = MISTAKES[mistake]
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("export.py: ") and told.err.count("\n") == 1
    assert all(part in told.err for part in wanted), told.err
    assert not [*tmp_path.iterdir()]
