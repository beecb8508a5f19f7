"""What the network is shown: batches of normalised images, whichever decoder made them."""

import os
from dataclasses import dataclass

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
class BadImage:
    """An image that cannot be shown."""

    id: int
    """Position in the index."""

    file: str
    """Where it lies, printable."""

    fault: str
    """What is wrong with it: goes on after the file's name."""


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

    bad: tuple[BadImage, ...] = ()
    """What could not be shown. In training another image of the class stands in; in evaluation the row is
    black and must count as a miss."""


def labels_of(index: Index, ids: NDArray[np.int64], *, device: torch.device) -> Tensor:
    """The labels of images `ids` [B]: int64 [B] on `device`."""
    return torch.from_numpy(index.labels[ids].astype(np.int64)).to(device, non_blocking=True)


def bad_image(index: Index, i: int, fault: str) -> BadImage:
    """Image i with its fault. A name that is no UTF-8 is escaped, so that it can be written anywhere."""
    return BadImage(id=i, file=os.fsencode(index.path(i)).decode(errors="backslashreplace"), fault=fault)
