"""The optimizer: weight decay where it belongs, torch's fused SGD, and a safe way to load its state."""

from typing import Any

import torch
from torch import Tensor, nn

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


def save_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """Returns the optimizer's state dict in the shapes of the model's state dict.

    A model may compute on wider tensors than its state dict shows, with zeros around the leading corner;
    a checkpoint holds the corners.
    """
    saved = optimizer.state_dict()
    shapes = _saved_shapes(model)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    saved["state"] = {
        k: {
            name: value[_corner(shapes[parameters[k]])] if _is_tensor(value) else value
            for name, value in state.items()
        }
        for k, state in saved["state"].items()
    }
    return saved


def load_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, saved: dict[str, Any]) -> None:
    """Loads a state dict, keeping the parameters' shapes and memory format, and the fused flags.

    `load_state_dict` keeps the strides and the flags that were saved. Fused kernels walk raw memory, so a
    state of other strides would be silently mixed up.
    """
    optimizer.load_state_dict(saved)
    shapes = _saved_shapes(model)
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = True, None
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if _is_tensor(value):
                assert value.shape == shapes[parameter], "the optimizer's state is of another model"
                state[name] = torch.zeros_like(parameter)
                state[name][_corner(value.shape)] = value


def whole(tensor: Tensor) -> Tensor:
    """Returns `tensor` contiguous and without a larger one behind it, which a file would hold as well."""
    tensor = tensor.contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _saved_shapes(model: nn.Module) -> dict[Tensor, torch.Size]:
    saved = model.state_dict()
    return {parameter: saved[name].shape for name, parameter in model.named_parameters()}


def _is_tensor(value: Any) -> bool:
    """Whether a value of the optimizer's state belongs to a parameter's elements; a step counter does not."""
    return isinstance(value, Tensor) and value.ndim > 0


def _corner(shape: torch.Size) -> tuple[slice, ...]:
    return tuple(slice(size) for size in shape)
