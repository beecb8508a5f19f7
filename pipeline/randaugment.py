"""What RandAugment draws: operations, magnitudes and signs, as pure numpy.

RandAugment (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719) in the meaning of timm's
`rand-m9-mstd0.5` (https://github.com/huggingface/pytorch-image-models, timm/data/auto_augment.py): operations
are drawn with replacement, each is applied with probability 0.5, at a magnitude from a normal distribution.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hashing import Stream, uniforms

Ints = NDArray[np.integer]

OPERATIONS = (
    "auto-contrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize-add",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear-x",
    "shear-y",
    "translate-x",
    "translate-y",
)
"""In timm's order (its `_RAND_TRANSFORMS`); number i + 1 of a draw is OPERATIONS[i]."""

SIGNED = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
"""Operations whose magnitude has a direction, either one with probability 0.5."""

PLAIN = ("auto-contrast", "equalize", "invert")
"""Operations without a magnitude."""

PROBABILITY = 0.5
"""Of applying an operation that was drawn."""

LARGEST = 10
BINS = 101
"""Magnitudes 0.0, 0.1 ... 10.0."""

_SLOTS = 5  # to an operation: which, whether, two for the magnitude, sign


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What was drawn for B images of n operations each, int32, in the order of application."""

    operations: NDArray[np.int32]
    """[B, n], 0 for none, else 1 + the place in OPERATIONS."""

    bins: NDArray[np.int32]
    """[B, n] magnitudes in tenths, 0 .. 100."""

    signs: NDArray[np.int32]
    """[B, n], 1 where the magnitude of a SIGNED operation is negated, else 0."""


def draw(*, count: int, magnitude: float, deviation: float, seed: int, epochs: Ints, ids: Ints) -> Draws:
    """Draw `count` operations for each of the images `ids` [B] in `epochs` [B].

    Magnitudes are normal around `magnitude`, cut to 0 .. 10 and rounded to tenths. A sample's values depend
    on (seed, epoch, id) alone, not on its place in the batch, and the first operations not on `count`.
    """
    slots = np.arange(_SLOTS * count)
    u = uniforms(seed, Stream.OPERATIONS, epochs[:, None], ids[:, None], slots)
    which, applied, v, w, sign = np.moveaxis(u.reshape(len(ids), count, _SLOTS), -1, 0)
    normal = np.sqrt(-2 * np.log(1 - v)) * np.cos(2 * math.pi * w)  # Box and Muller
    drawn = np.clip(magnitude + deviation * normal, 0, LARGEST)
    operations = np.where(applied < PROBABILITY, 1 + np.floor(which * len(OPERATIONS)), 0)
    bins = np.rint(drawn * (BINS - 1) / LARGEST)
    return Draws(
        operations=operations.astype(np.int32, order="C"),
        bins=bins.astype(np.int32, order="C"),
        signs=(sign < 0.5).astype(np.int32, order="C"),
    )


def describe(drawn: Draws, row: int) -> list[str]:
    """The operations of an image as people read them: "rotate -8.7"; empty for none."""
    columns = (drawn.operations, drawn.bins, drawn.signs)
    return [_describe(*one) for one in zip(*(values[row].tolist() for values in columns), strict=True)]


def _describe(operation: int, bin: int, sign: int) -> str:
    if not operation:
        return ""
    name = OPERATIONS[operation - 1]
    if name in PLAIN:
        return name
    magnitude = bin * LARGEST / (BINS - 1)
    return f"{name} {-magnitude if sign and name in SIGNED else magnitude:.1f}"
