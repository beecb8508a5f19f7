"""Weights in and out: ours, the authors', timm's; and what is said of those that do not fit."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import rexnet
from rexnet.channels import variant_shape
from rexnet.files import write_tensors
from rexnet.layouts import Layout, translate
from rexnet.model import create_model
from rexnet.weights import load_weights, save_weights
from tests.rexnet.reference import OFFICIAL, TIMM, filled, official_state

REPOSITORY = Path(__file__).resolve().parents[2]


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return list(ours) == list(theirs) and all(
        a.equal(b) for a, b in zip(ours.values(), theirs.values(), strict=True)
    )


@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_layout_there_and_back(variant: str) -> None:
    official, shape = official_state(variant), variant_shape(variant)
    ours = translate(official, shape, source="official", to="ours")
    with torch.device("meta"):
        wanted = rexnet.ReXNet(shape).state_dict()
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in wanted.items()}
    assert equal(translate(ours, shape, source="ours", to="official"), official)


@pytest.mark.parametrize("variant", TIMM)
def test_timm_layout_there_and_back(variant: str) -> None:
    """timm's tensors are the authors' in the same order, with a matrix for the classifier."""
    official, shape = official_state(variant), variant_shape(variant)
    timm = translate(official, shape, source="official", to="timm")
    assert {name: [*tensor.shape] for name, tensor in timm.items()} == TIMM[variant]
    assert list(timm) == list(TIMM[variant])
    assert all(a.flatten().equal(b.flatten()) for a, b in zip(timm.values(), official.values(), strict=True))
    assert equal(translate(timm, shape, source="timm", to="official"), official)


def test_timm_has_no_lite() -> None:
    with pytest.raises(ValueError, match="timm has no ReXNet-lite"):
        translate({}, variant_shape("rexnet_lite_1.0"), source="ours", to="timm")


@pytest.mark.parametrize("align", [1, 8])
@pytest.mark.parametrize("order", ["network's", "sorted"])
@pytest.mark.parametrize("layout", ["ours", "official", "timm"])
def test_layouts_are_recognised_by_names_not_by_order(layout: Layout, order: str, align: int) -> None:
    shape = variant_shape("rexnet_0.2")
    ours = filled(create_model("rexnet_0.2", num_classes=5).state_dict())
    theirs = translate(ours, shape, source="ours", to=layout)
    if order == "sorted":
        theirs = {name: theirs[name] for name in sorted(theirs)}
    model = create_model("rexnet_0.2", num_classes=5, align=align)
    assert load_weights(model, theirs) == layout
    assert equal(model.state_dict(), ours)


def files(folder: Path, state: dict[str, Tensor]) -> dict[str, Path]:
    """Writes one state dict in the ways that programs write it."""
    contents: dict[str, Any] = {
        "plain.pth": state,
        "wrapped.pth": {"epoch": 3, "state_dict": state},
        "parallel.pt": {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
        "checkpoint.pt": {"format": 1, "state": {"step": 3, "model": {}, "ema": state}},
    }
    for name, content in contents.items():
        torch.save(content, folder / name)
    save_file({name: t.contiguous() for name, t in state.items()}, folder / "plain.safetensors")
    return {name: folder / name for name in [*contents, "plain.safetensors"]}


def test_files_of_many_programs(tmp_path: Path) -> None:
    state = filled(create_model("rexnet_0.2", num_classes=5).state_dict())
    for path in files(tmp_path, state).values():
        model = create_model("rexnet_0.2", weights=str(path))
        assert equal(model.state_dict(), state), path.name


def test_our_file_says_what_it_holds(tmp_path: Path) -> None:
    model = create_model("rexnet_0.2", num_classes=5, align=8)
    save_weights(model, tmp_path / "w.safetensors", variant="rexnet_0.2")
    assert rexnet.read_metadata(tmp_path / "w.safetensors") == {
        "variant": "rexnet_0.2",
        "classes": "5",
        "mean": "(0.485, 0.456, 0.406)",
        "std": "(0.229, 0.224, 0.225)",
    }
    other = create_model("rexnet_0.2", weights=tmp_path / "w.safetensors")
    assert equal(other.state_dict(), model.state_dict())
    assert not list(tmp_path.glob("*.tmp"))
    assert rexnet.read_class_names(tmp_path / "w.safetensors") is None


def test_our_file_can_say_how_images_are_shown(tmp_path: Path) -> None:
    path, names = tmp_path / "w.safetensors", ["cat", "café", "no\udcffutf8"]
    model = create_model("rexnet_0.2", num_classes=3)
    save_weights(
        model,
        path,
        variant="rexnet_0.2",
        class_names=names,
        image_size=288,
        crop_ratio=0.95,
        interpolation="bilinear",
    )
    assert rexnet.read_class_names(path) == names
    told = rexnet.read_metadata(path)
    assert (told["image_size"], told["crop_ratio"], told["interpolation"]) == ("288", "0.95", "bilinear")


def test_the_same_weights_are_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """The order of safetensors' metadata is otherwise that of a hash, which changes by process."""
    program = (
        "import sys, torch; from pathlib import Path; from rexnet.files import write_tensors; "
        "write_tensors({'b': torch.ones(3), 'a': torch.zeros(2, dtype=torch.half)}, Path(sys.argv[1]), "
        "metadata={name: name for name in 'qwertyuiop'})"
    )
    contents = set()
    for number in range(2):
        path = tmp_path / f"{number}.safetensors"
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, cwd=REPOSITORY)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    state = load_file(path)
    assert state["b"].tolist() == [1, 1, 1] and state["a"].dtype == torch.half


def test_damaged_headers_are_refused(tmp_path: Path) -> None:
    write_tensors({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"class_names": "{1"})
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, wanted in {
        "w.safetensors": "class names are no list",
        "text.safetensors": "no safetensors file",
        "nowhere.safetensors": "there is no weights file",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=wanted):
            rexnet.read_class_names(tmp_path / name)


def test_old_files_have_no_counters() -> None:
    state = {n: t for n, t in official_state("rexnet_1.0").items() if not n.endswith("num_batches_tracked")}
    assert load_weights(create_model("rexnet_1.0"), state) == "official"


def test_half_precision_weights_are_widened() -> None:
    state = {n: t.half() if t.is_floating_point() else t for n, t in official_state("rexnet_1.0").items()}
    model = create_model("rexnet_1.0", weights=state)
    assert model.stem.conv.weight.dtype == torch.float32


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = dict(create_model("rexnet_0.2", num_classes=5).state_dict())
    del state["stem.conv.weight"]
    state["tail.weight"] = torch.zeros(1)
    with pytest.raises(ValueError) as told:
        load_weights(create_model("rexnet_0.2", num_classes=7), state)
    message = str(told.value)
    assert "1 missing: stem.conv.weight; 1 unexpected: tail.weight; 2 of another shape: classifier" in message
    assert "[5, 256] for [7, 256]" in message and "in the ours layout" in message
    with pytest.raises(ValueError, match=r"in the official layout.*of another shape.*and \d+ more"):
        load_weights(create_model("rexnet_1.3"), official_state("rexnet_1.0"))


def test_files_that_hold_no_network(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"run": Path("code")}, tmp_path / "code.pth")
    for name, wanted in {
        "text.pth": "no weights file",
        "text.safetensors": "no weights file",
        "other.pth": "holds no ReXNet: it has fc.weight",
        "list.pth": "holds no state dict",
        "code.pth": "read safely",
        "nowhere.pth": "there is no weights file",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=wanted) as told:
            create_model("rexnet_0.2", weights=tmp_path / name)
        assert re.search(re.escape(str(tmp_path / name)), str(told.value))


def test_weights_of_a_lite_network_for_a_full_one() -> None:
    with pytest.raises(ValueError, match="does not fit this network"):
        load_weights(create_model("rexnet_1.0"), create_model("rexnet_lite_1.0").state_dict())
