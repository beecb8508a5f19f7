"""variants.json, which README, reports and dashboards quote."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rexnet.channels
from rexnet.model import create_model

VARIANTS = json.loads((Path(rexnet.channels.__file__).parent / "variants.json").read_text())


def test_holds_the_published_widths() -> None:
    assert list(VARIANTS) == [f"rexnet_{width}" for width in rexnet.channels.WIDTHS]
    for entry in VARIANTS.values():
        assert list(entry) == ["parameters", "macs", "official", "earlier"]
        assert 70 < entry["earlier"]["acc1"] < entry["official"]["acc1"] < entry["official"]["acc5"] < 100
        assert all(entry[who]["source"].startswith("https://") for who in ("official", "earlier"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_macs_are_counted(variant: str) -> None:
    """Multiply-accumulates of convolutions and the classifier for one image of 224 x 224."""
    macs = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.Linear)
        macs += output.numel() * module.weight[0].numel()

    with torch.device("meta"):  # shapes without numbers
        model = create_model(variant).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
        model(torch.empty(1, 3, 224, 224))
    assert sum(parameter.numel() for parameter in model.parameters()) == VARIANTS[variant]["parameters"]
    assert macs == VARIANTS[variant]["macs"]
