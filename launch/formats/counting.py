"""What a network costs, counted without computing it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rexnet.channels import variant_shape
from rexnet.model import ReXNet


def count(variant: str, *, classes: int = 1000, image_size: int = 224) -> tuple[int, int]:
    """Returns the parameters, and the multiply-accumulates of one image of `image_size` pixels a side.

    MACs are those of convolutions, squeeze-excitation and classifier; norms and activations have none.

    >>> count("rexnet_1.0")
    (4796873, 398370392)
    """
    macs = 0

    def add(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.Linear)
        macs += output.numel() * module.weight[0].numel()

    with torch.device("meta"):  # shapes without numbers
        model = ReXNet(variant_shape(variant), num_classes=classes).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(add)
        model(torch.empty(1, 3, image_size, image_size))
    return sum(parameter.numel() for parameter in model.parameters()), macs
