"""Random erasing: which rectangles, as pure numpy, and the noise that replaces them, on the device.

Zhong et al. 2017 (https://arxiv.org/abs/1708.04896) in the form of timm's RandomErasing with mode "pixel"
(https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/random_erasing.py).
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.hashing import Stream, uniforms

Ints = NDArray[np.integer]

ATTEMPTS = 10
AREA = (0.02, 1 / 3)
"""Smallest and largest share of the image's area that an attempt draws."""

ASPECT = (0.3, 1 / 0.3)
"""Smallest and largest height over width."""

NOISE = 1 << 20
"""Numbers in the table of noise, which goes on from its start behind its end."""


def boxes(*, probability: float, seed: int, epochs: Ints, ids: Ints, image_size: int) -> NDArray[np.int64]:
    """Rectangles to erase from images `ids` [B] in `epochs` [B]: int64 [E, 6], one row to an erased image.

    A row is (place in the batch, top, left, height, width, where in the table its noise begins). An area
    uniform in AREA and a log-uniform aspect in ASPECT are drawn up to ten times, until both sides are below
    the image's; an image in which none fits stays whole. The values depend on (seed, epoch, id) and on the
    size alone.
    """
    erased = np.flatnonzero(uniforms(seed, Stream.ERASING, epochs, ids, 0) < probability)
    slots = np.arange(1, 2 + 4 * ATTEMPTS)
    u = uniforms(seed, Stream.ERASING, epochs[erased, None], ids[erased, None], slots)
    attempts = u[:, 1:].reshape(len(erased), ATTEMPTS, 4)
    area = image_size**2 * (AREA[0] + (AREA[1] - AREA[0]) * attempts[..., 0])
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    aspect = np.exp(low + (high - low) * attempts[..., 1])
    sides = np.rint(np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=-1))
    fits = (sides < image_size).all(axis=-1)

    chosen = np.arange(len(erased)), fits.argmax(axis=1)
    shapes = sides[chosen]
    corners = np.floor(attempts[..., 2:][chosen] * (image_size - shapes + 1))
    rows = np.column_stack([erased, corners, shapes, np.floor(u[:, 0] * NOISE)])
    return rows[fits.max(axis=1)].astype(np.int64, order="C")


def noise(device: torch.device) -> Tensor:
    """The table of noise, the same for every run: float32 [NOISE], standard normal by Box and Muller."""
    u, v = uniforms(0, Stream.NOISE, np.arange(NOISE // 2), np.arange(2)[:, None])
    radius = np.sqrt(-2 * np.log(1 - u))
    values = np.stack([radius * np.cos(2 * math.pi * v), radius * np.sin(2 * math.pi * v)])
    return torch.from_numpy(values.ravel().astype(np.float32)).to(device)


def erase(images: Tensor, rectangles: NDArray[np.int64], *, table: Tensor) -> None:
    """Replace the rectangles [E, 6] of normalised images [B, 3, H, W] by noise, in place."""
    for row, top, left, height, width, start in rectangles.tolist():
        count = 3 * height * width
        turns = -(-(start + count) // len(table))
        values = table if turns == 1 else table.repeat(turns)
        window = values[start : start + count].view(height, width, 3).permute(2, 0, 1)
        images[row, :, top : top + height, left : left + width] = window
