"""The network against the authors' one: figures that theirs gives under weights by a formula."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rexnet.channels import WIDTHS, network_shape, variant_width
from rexnet.model import ReXNet, create_model
from rexnet.published import published
from rexnet.weights import from_official, load_weights, read_metadata, save_weights
from tests.rexnet.reference import filled, images

OFFICIAL = json.loads((Path(__file__).parent / "official.json").read_text())


def official_state(variant: str) -> dict[str, Tensor]:
    shapes = OFFICIAL[variant]["state_dict"]
    kinds = {name: torch.int64 if name.endswith("num_batches_tracked") else torch.float32 for name in shapes}
    return filled({name: torch.zeros(shape, dtype=kinds[name]) for name, shape in shapes.items()})


def reference_model(variant: str) -> ReXNet:
    model = create_model(variant, dropout=0.0)
    model.load_state_dict(from_official(official_state(variant), like=model.state_dict()))
    return model


@pytest.mark.parametrize("variant", OFFICIAL)
def test_outputs_equal_the_authors(variant: str) -> None:
    model = reference_model(variant).eval()
    for key, count, size in (("eval_2x64", 2, 64), ("eval_1x224", 1, 224)):
        wanted = OFFICIAL[variant][key]
        with torch.no_grad():
            logits = model(images(count, size=size))
        assert logits[0, :8].tolist() == pytest.approx(wanted["first8"], abs=2e-5)
        assert float(logits.mean()) == pytest.approx(wanted["mean"], abs=2e-6)
        assert float(logits.std()) == pytest.approx(wanted["std"], abs=2e-6)
        assert logits.argmax(dim=1).tolist() == wanted["argmax"]


@pytest.mark.parametrize("variant", OFFICIAL)
def test_training_loss_and_gradient_equal_the_authors(variant: str) -> None:
    model = reference_model(variant).train()
    loss = F.cross_entropy(model(images(8, size=64)), torch.arange(8))
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert loss.item() == pytest.approx(OFFICIAL[variant]["train_8x64"]["loss"], abs=1e-4)
    assert float(norm) == pytest.approx(OFFICIAL[variant]["train_8x64"]["grad_norm"], rel=2e-3)


@pytest.mark.parametrize("variant", OFFICIAL)
def test_parameters_and_shapes_equal_the_authors(variant: str) -> None:
    model = create_model(variant)
    assert sum(p.numel() for p in model.parameters()) == OFFICIAL[variant]["params"]
    shapes = [[*t.shape] for t in model.state_dict().values()]
    wanted = [
        s[:2] if name == "output.1.weight" else s for name, s in OFFICIAL[variant]["state_dict"].items()
    ]
    assert shapes == wanted


@pytest.mark.parametrize("width", WIDTHS)
def test_published_parameters_of_every_width(width: float) -> None:
    variant = f"rexnet_{width}"
    figures = published(variant)
    assert figures is not None
    assert sum(p.numel() for p in create_model(variant).parameters()) == figures.parameters


def test_channels_last_gives_the_same() -> None:
    model = reference_model("rexnet_1.0").eval()
    batch = images(2, size=64)
    with torch.no_grad():
        plain = model(batch)
        model = model.to(memory_format=torch.channels_last)
        other = model(batch.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(other, plain, atol=1e-5, rtol=1e-5)


def test_drop_path_drops_whole_samples_and_only_in_training() -> None:
    torch.manual_seed(0)
    model = ReXNet(width=0.2, num_classes=3, dropout=0.0, drop_path=0.5)
    assert [b.drop_path for b in model.blocks][::5] == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])  # type: ignore[union-attr]
    model.eval()
    same = images(4, size=32)
    torch.testing.assert_close(model(same), model(same), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(same), model(same))


def test_weights_round_trip_and_official_layout(tmp_path: Path) -> None:
    model = reference_model("rexnet_1.0")
    save_weights(model, tmp_path / "ours.safetensors", variant="rexnet_1.0")
    torch.save({"state_dict": official_state("rexnet_1.0")}, tmp_path / "theirs.pth")
    assert read_metadata(tmp_path / "ours.safetensors")["variant"] == "rexnet_1.0"
    for name, layout in (("ours.safetensors", "ours"), ("theirs.pth", "official")):
        other = create_model("rexnet_1.0")
        assert load_weights(other, tmp_path / name) == layout
        assert all(
            torch.equal(a, b)
            for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True)
        )


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    save_weights(create_model("rexnet_0.2"), tmp_path / "w.safetensors", variant="rexnet_0.2")
    with pytest.raises(ValueError, match=r"of another shape \(.*classifier|of another shape"):
        load_weights(create_model("rexnet_0.2", num_classes=7), tmp_path / "w.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match="no weights file"):
        load_weights(create_model("rexnet_0.2"), tmp_path / "text.pth")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_weights(create_model("rexnet_0.2"), tmp_path / "nowhere.pth")


def test_names_and_widths_that_do_not_exist() -> None:
    for name in ("resnet_50", "rexnet", "rexnet_big"):
        with pytest.raises(ValueError, match=r"rexnet_1\.0"):
            variant_width(name)
    with pytest.raises(ValueError, match="positive"):
        network_shape(0)
