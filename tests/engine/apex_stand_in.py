"""Stands in for NVIDIA's apex with CUDA extensions: its optimizers' interface and traps, in plain torch.

Of https://github.com/NVIDIA/apex at 6424da3b, apex/optimizers/fused_sgd.py and fused_lamb.py: `zero_grad`
takes no argument; kernels walk raw memory and only ask that each tensor is dense; LAMB counts steps among the
settings and clips the whole gradient to a norm of 1 unless told otherwise; neither knows the scaler's flag.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def memory(tensor: Tensor) -> Tensor:
    """The elements as they lie, whatever the strides say."""
    assert (
        tensor.storage_offset() + tensor.numel() <= tensor.untyped_storage().nbytes() // tensor.element_size()
    )
    return torch.as_strided(tensor.detach(), (tensor.numel(),), (1,))


class _Fused(torch.optim.Optimizer):
    def zero_grad(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _own(self, group: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield memory(parameter), memory(parameter.grad), self.state[parameter]


class FusedSGD(_Fused):
    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, settings | {"weight_decay": weight_decay, "nesterov": nesterov})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weights, gradient, state in self._own(group):
                gradient = gradient + group["weight_decay"] * weights
                if group["momentum"]:
                    buffer = memory(state["momentum_buffer"])
                    buffer.mul_(group["momentum"]).add_(gradient, alpha=1 - group["dampening"])
                    gradient = gradient + group["momentum"] * buffer if group["nesterov"] else buffer
                weights.sub_(group["lr"] * gradient)


class FusedLAMB(_Fused):
    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float = 1.0,
    ):
        assert bias_correction
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings | {"max_grad_norm": max_grad_norm})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        for group in self.param_groups:
            group["step"] = group.get("step", 0) + 1
            (first, second), count, limit = group["betas"], group["step"], group["max_grad_norm"]
            for weights, gradient, state in self._own(group):
                gradient = gradient / (norm / limit if norm > limit else 1.0)
                mean, square = memory(state["exp_avg"]), memory(state["exp_avg_sq"])
                mean.mul_(first).add_(gradient, alpha=1 - first)
                square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
                update = (mean / (1 - first**count)) / ((square / (1 - second**count)).sqrt() + group["eps"])
                update += group["weight_decay"] * weights
                trust = 1.0
                if group["weight_decay"] and weights.norm() > 0 and update.norm() > 0:
                    trust = float(weights.norm() / update.norm())
                weights.sub_(group["lr"] * trust * update)


def modules() -> dict[str, ModuleType]:
    """What to put among the loaded modules."""
    apex, optimizers, kernels = ModuleType("apex"), ModuleType("apex.optimizers"), ModuleType("amp_C")
    optimizers.__dict__.update(FusedSGD=FusedSGD, FusedLAMB=FusedLAMB)
    apex.__dict__["optimizers"] = optimizers
    return {"apex": apex, "apex.optimizers": optimizers, "amp_C": kernels}
