"""Norms folded into the layers before them: the same function in evaluation."""

from pathlib import Path

import pytest
import torch
from torch import nn

import rexnet
from rexnet.model import create_model
from rexnet.weights import load_weights, save_weights
from tests.rexnet.reference import filled, images


def network(variant: str) -> rexnet.ReXNet:
    """A network whose norms do something."""
    model = create_model(variant, num_classes=5)
    model.load_state_dict(filled(model.state_dict()))
    return model.eval()


@pytest.mark.parametrize("variant", ["rexnet_0.3", "rexnet_lite_0.3"])
def test_a_folded_network_is_the_same_function_without_norms(variant: str, tmp_path: Path) -> None:
    model = network(variant)
    shown = images(2, size=64)
    with torch.inference_mode():
        wanted = model(shown)
    assert rexnet.fold(model) is model and not model.training
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    save_weights(model, tmp_path / "folded.safetensors", variant=variant)
    for align in (1, 8):
        other = create_model(variant, weights=tmp_path / "folded.safetensors", align=align)
        with torch.inference_mode():
            assert (other.eval()(shown) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert {n: t.shape for n, t in other.state_dict().items()} == {
        n: t.shape for n, t in model.state_dict().items()
    }


def test_folded_weights_fit_no_other_network() -> None:
    folded = rexnet.fold(network("rexnet_0.3")).state_dict()
    with pytest.raises(ValueError, match=r"norms folded.*create_model\(\.\.\., weights=FILE\)"):
        load_weights(create_model("rexnet_0.3", num_classes=5), folded)
    with pytest.raises(ValueError, match="of another shape"):
        create_model("rexnet_0.4", weights=folded)


def test_an_aligned_network_is_not_folded_in_place() -> None:
    with pytest.raises(ValueError, match="align=1"):
        rexnet.fold(create_model("rexnet_0.3", align=8))
