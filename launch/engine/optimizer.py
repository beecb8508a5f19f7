"""The optimizer: weight decay where it belongs, torch's fused SGD, and a safe way to load its state."""

import torch
from torch import nn

from launch.engine.config import Optim


def decay_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Returns the parameters with weight decay (two or more dimensions) and those without."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


def make_optimizer(model: nn.Module, optim: Optim) -> torch.optim.SGD:
    """Returns fused SGD with Nesterov momentum over `model`.

    The momentum buffers exist, as zeros, before the first step: fused SGD otherwise takes uninitialised
    memory for them when that step overflows (LibreYOLO pull request 771 met it in the wild).
    """
    decayed, plain = decay_groups(model)
    groups = [{"params": decayed, "weight_decay": optim.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(
        groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.momentum > 0, fused=True
    )
    if optim.momentum > 0:
        for parameter in (*decayed, *plain):
            buffer = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            optimizer.state[parameter]["momentum_buffer"] = buffer
    return optimizer


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict) -> None:
    """Loads a state dict, keeping the parameters' memory format and the fused flags.

    `load_state_dict` keeps the strides and the flags that were saved. Fused kernels walk raw memory, so a
    state of other strides would be silently mixed up.
    """
    optimizer.load_state_dict(saved)
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = True, None
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
