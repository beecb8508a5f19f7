"""What the network is shown: batches of normalised images, whichever decoder made them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.index import Index

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's red, green and blue, in [0, 1]."""

STD = (0.229, 0.224, 0.225)
"""Likewise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One micro-batch of B images, on the training device."""

    images: Tensor
    """[B, 3, H, W] float32, normalised, with channels_last strides."""

    labels: Tensor
    """[B] int64."""

    labels_b: Tensor
    """[B] int64, labels of the mixup partners; without mixup the same as `labels`."""

    weight: Tensor
    """[B] float32, weight of `labels`, and 1 - weight that of `labels_b`; 1 without mixup."""

    ids: NDArray[np.int64]
    """[B] positions in the index."""


def labels_of(index: Index, ids: NDArray[np.int64], *, device: torch.device) -> Tensor:
    """The labels of images `ids` [B]: int64 [B] on `device`."""
    return torch.from_numpy(index.labels[ids].astype(np.int64)).to(device, non_blocking=True)


def damaged_image(path: Path) -> ValueError:
    """What to raise for an image that cannot be decoded."""
    return ValueError(
        f"{path} cannot be decoded: put an intact copy in its place, or remove it, which makes another data "
        "set and so another run"
    )
