"""The same function on channel counts rounded up, for matrix units that want multiples of 8.

The added channels' weights, norms' scales and shifts are zero. Nothing enters them (their producers' weights
are zero) and nothing leaves them (their consumers' weights are zero), so every gradient of theirs is exactly
zero, and with it momentum and weight decay: training leaves them at zero, bit for bit. The network's partial
shortcut adds the logical channels only; otherwise gradients would reach the shifts of added channels.

A network's own channels are always the first ones, so its canonical tensors are the leading corners of the
aligned ones. A state dict holds these corners: weights, averages and checkpoints do not know the alignment.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def aligned(wider: Network, canonical: Network) -> Network:
    """Returns `wider` computing the function of `canonical`, with state dicts of canonical shapes.

    Args:
        wider: the same network on rounded-up channel counts, on any device; its weights are replaced.
        canonical: where weights, running statistics and shapes come from.
    """
    state = canonical.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}
    wider.to_empty(device=next(canonical.parameters()).device)
    full = {name: tensor.shape for name, tensor in wider.state_dict().items()}

    def to_canonical(module: nn.Module, saved: dict[str, Any], prefix: str, _: Any) -> None:
        for name, shape in shapes.items():
            saved[prefix + name] = strip(saved[prefix + name], shape)

    def to_aligned(module: nn.Module, saved: dict[str, Any], prefix: str, *_: Any) -> None:
        for name, shape in shapes.items():
            tensor = saved.get(prefix + name)
            if tensor is not None and tensor.shape == shape:
                saved[prefix + name] = pad(tensor, full[name])

    wider.register_state_dict_post_hook(to_canonical)
    wider.register_load_state_dict_pre_hook(to_aligned)
    wider.load_state_dict(state)
    return wider.train(canonical.training)


def strip(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Returns the leading corner of `tensor`, a view of shape `shape`."""
    return tensor[tuple(slice(size) for size in shape)]


def pad(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Returns `tensor` in the leading corner of zeros of shape `shape`, or itself where it fills them."""
    if tensor.shape == shape:
        return tensor
    padded = tensor.new_zeros(shape)
    strip(padded, tensor.shape).copy_(tensor)
    return padded
