"""Weights and images that follow from a formula, so that a reference figure needs no download.

Entry k of a state dict (counted from 0, all entries), at flat index i, holds in float64
u = 2 frac(43758.5453 sin(12.9898 i + 78.233 k)) - 1, scaled by what the entry is: running variances
1 + |u|/2, running means u/10, tensors of two or more dimensions u sqrt(6 / fan-in), biases u/10, a norm's
weights 1 + u/10; counters stay. An image batch is 2u of k = 1 over its flat index.
"""

import math

import torch
from torch import Tensor


def noise(count: int, *, k: int) -> Tensor:
    """Returns u of entry k at indices 0 .. count - 1, float64."""
    wave = torch.sin(12.9898 * torch.arange(count, dtype=torch.float64) + 78.233 * k)
    return 2 * torch.frac(43758.5453 * wave).remainder(1.0) - 1


def filled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict of the same names and shapes, filled by the formula."""
    return {name: _fill(name, tensor, k) for k, (name, tensor) in enumerate(state.items())}


def _fill(name: str, tensor: Tensor, k: int) -> Tensor:
    u = noise(tensor.numel(), k=k).reshape(tensor.shape)
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return tensor.clone()
    if kind == "running_var":
        u = 1 + 0.5 * u.abs()
    elif kind == "running_mean":
        u = 0.1 * u
    elif tensor.ndim >= 2:
        u = u * math.sqrt(6 * tensor.shape[0] / tensor.numel())
    elif kind == "bias":
        u = 0.1 * u
    else:
        u = 1 + 0.1 * u
    return u.to(tensor.dtype)


def images(count: int, *, size: int) -> Tensor:
    """Returns [count, 3, size, size] float32."""
    return (2 * noise(count * 3 * size * size, k=1)).reshape(count, 3, size, size).float()
