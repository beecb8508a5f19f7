"""Weights and images that follow from a formula, so that a reference figure needs no download.

Entry k of a state dict (counted from 0, all entries), at flat index i, holds in float64
u = 2 frac(43758.5453 sin(12.9898 i + 78.233 k)) - 1, scaled by what the entry is: running variances
1 + |u|/2, running means u/10, tensors of two or more dimensions u sqrt(6 / fan-in), biases u/10, a norm's
weights 1 + u/10; counters stay. An image batch is 2u of k = 1 over its flat index.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

OFFICIAL: dict[str, Any] = json.loads((Path(__file__).parent / "official.json").read_text())
"""Per variant: parameters, state-dict shapes, and what the authors' network gives for `images`."""

TIMM: dict[str, dict[str, list[int]]] = json.loads((Path(__file__).parent / "timm_keys.json").read_text())
"""Per variant: timm's names and shapes, in order."""


def official_state(variant: str) -> dict[str, Tensor]:
    """Returns the authors' state dict of a variant, filled by the formula."""
    return filled(empty_state(OFFICIAL[variant]["state_dict"]))


def empty_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Returns zeros of the given names and shapes."""
    kinds = {name: torch.int64 if name.endswith("num_batches_tracked") else torch.float32 for name in shapes}
    return {name: torch.zeros(shape, dtype=kinds[name]) for name, shape in shapes.items()}


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
