"""ReLU6 that keeps less for the backward pass than autograd would.

Autograd keeps what goes into a ReLU6, and the convolution after it keeps what comes out. The output alone
says where the gradient passes: where it is neither 0 nor 6. There it is also the product with a gate before,
so that the gate's gradient needs no more either. Values and gradients are those of `F.relu6`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def relu6(x: Tensor) -> Tensor:
    """Returns min(max(x, 0), 6), of any shape."""
    return F.relu6(x) if _keeps_nothing() else _ReLU6.apply(x)


def gated_relu6(x: Tensor, logits: Tensor) -> Tensor:
    """Returns relu6(x * sigmoid(logits)) of maps x [B, C, H, W] and logits [B, C]."""
    return _gate(x, logits) if _keeps_nothing() else _GatedReLU6.apply(x, logits)


def _keeps_nothing() -> bool:
    """Whether no backward pass follows, or an exporter looks, who knows the plain operators alone."""
    return not torch.is_grad_enabled() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def _gate(x: Tensor, logits: Tensor) -> Tensor:
    return F.relu6(x * logits.sigmoid()[:, :, None, None], inplace=True)  # the product is nobody else's


class _ReLU6(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.relu6(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return _passing(gradients[0], y)


class _GatedReLU6(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, logits: Tensor) -> Tensor:
        return _gate(x, logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        logits, y = ctx.saved_tensors
        gate = logits.sigmoid()
        gradient = _passing(gradients[0], y)
        # The gate's own derivative has the factor gate, and gate * x is y where the gradient passes.
        moment = (gradient * y).sum(dim=(2, 3))
        return gradient * gate[:, :, None, None], torch.addcmul(moment, moment, gate, value=-1)


def _passing(gradient: Tensor, y: Tensor) -> Tensor:
    return torch.ops.aten.hardtanh_backward(gradient, y, 0, 6)
