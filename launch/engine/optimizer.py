"""The optimizer: decay groups, fused kernels of torch or apex, and a safe way to load its state."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from launch.engine.config import Optim

_MOMENTS = {
    "sgd": ("momentum_buffer",),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "lamb": ("exp_avg", "exp_avg_sq"),
}
"""What each keeps of every parameter, in its shape."""

_BUILD = "APEX_CPP_EXT=1 APEX_CUDA_EXT=1 pip install --no-build-isolation --group apex"


def decay_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Returns the parameters with weight decay (two or more dimensions) and those without."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


def make_optimizer(model: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """Returns the fused optimizer of `optim` over `model`, its state already there, as zeros.

    So a checkpoint has the same content from the first step on, and a first step that is skipped leaves
    nothing behind: fused SGD otherwise takes uninitialised memory for momentum when that step overflows
    (LibreYOLO pull request 771 met it in the wild).
    """
    decayed, plain = decay_groups(model)
    if optim.decay_on == "all":
        decayed, plain = [p for p in model.parameters() if p.requires_grad], []
    groups = [
        {"params": parameters, "weight_decay": decay}
        for parameters, decay in ((decayed, optim.weight_decay), (plain, 0.0))
        if parameters
    ]
    optimizer = _new_apex(groups, optim) if optim.backend == "apex" else _new_torch(groups, optim)
    moments = _MOMENTS[optim.optimizer] if optim.optimizer != "sgd" or optim.momentum else ()
    for parameter in (*decayed, *plain):
        for name in moments:
            buffer = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            optimizer.state[parameter][name] = buffer
        if optim.optimizer == "adamw":
            optimizer.state[parameter]["step"] = torch.zeros((), device=parameter.device)
    return optimizer


def check_backend(optim: Optim, device: torch.device) -> None:
    """Raises a ValueError where the optimizer's kernels cannot run here."""
    if optim.backend != "apex":
        return
    _apex_optimizers()
    if device.type != "cuda":
        raise ValueError("apex's optimizers are for GPUs, and there is none: leave out --backend apex")


def describe_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Returns what run.json says: the class that steps, and its groups with their counts."""
    kind = type(optimizer)
    groups = [
        {
            "weight_decay": group["weight_decay"],
            "tensors": len(group["params"]),
            "parameters": sum(p.numel() for p in group["params"]),
        }
        for group in optimizer.param_groups
    ]
    fused = bool(optimizer.param_groups[0].get("fused")) or kind.__name__.startswith("Fused")
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "fused": fused, "groups": groups}


def _new_torch(groups: list[dict[str, Any]], optim: Optim) -> torch.optim.Optimizer:
    if optim.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=optim.lr, betas=(optim.momentum, optim.beta2), fused=True)
    nesterov = optim.nesterov and optim.momentum > 0
    return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=nesterov, fused=True)


def _new_apex(groups: list[dict[str, Any]], optim: Optim) -> torch.optim.Optimizer:
    """Returns FusedSGD or FusedLAMB, without LAMB's own clipping to a norm of 1: `optim.clip` does that."""
    apex = _apex_optimizers()
    if optim.optimizer == "lamb":
        betas = (optim.momentum, optim.beta2)
        return apex.FusedLAMB(groups, lr=optim.lr, betas=betas, max_grad_norm=float("inf"))
    nesterov = optim.nesterov and optim.momentum > 0
    return apex.FusedSGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=nesterov)


def _apex_optimizers() -> Any:
    """Returns the module apex.optimizers of NVIDIA's apex with its CUDA kernels.

    Raises:
        ValueError: it is not installed, is a stranger's package of that name, or was built without kernels.
    """
    try:
        import_module("amp_C")
        return import_module("apex.optimizers")
    except ImportError as error:
        raise ValueError(
            f"--backend apex wants NVIDIA's apex with CUDA extensions ({error}). Build it in this checkout, "
            f"with the CUDA toolkit of this torch: {_BUILD} (PyPI's package named apex is a stranger's); "
            "or leave out --backend apex"
        ) from None


def clear_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Frees all gradients; apex's `zero_grad` takes no word about that."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


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
    """Loads a state dict, keeping the parameters' shapes and memory format, and this optimizer's settings.

    `load_state_dict` keeps the strides and the settings that were saved, flags for fused kernels among them.
    These walk raw memory, so a state of other strides would be silently mixed up. Of the settings only the
    count of steps is taken, which apex's LAMB keeps there.
    """
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    shapes = _saved_shapes(model)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        counted = {"step": group["step"]} if "step" in group else {}
        parameters = group["params"]
        group.clear()
        group.update(own | counted | {"params": parameters})
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
