"""Micro-batches of noise, by a seed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Micro:
    images: Tensor
    labels: Tensor
    labels_b: Tensor
    weight: Tensor
    ids: np.ndarray
    bad: list[Any] = field(default_factory=list)


def micro_batch(seed: int, *, scale: float = 1.0) -> Micro:
    generator = torch.Generator().manual_seed(seed)
    images = scale * torch.randn(8, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 5, (8,), generator=generator)
    return Micro(
        images.contiguous(memory_format=torch.channels_last), labels, labels, torch.ones(8), np.arange(8)
    )
