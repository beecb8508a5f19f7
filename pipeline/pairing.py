"""How the images of a micro-batch are mixed with each other: pure numpy.

Everything here depends on (seed, step, micro-batch) alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hashing import Stream, hash64, uniforms


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """What was drawn for a micro-batch of B images."""

    partners: NDArray[np.int64]
    """[B] whom each image is mixed with."""

    weight: float
    """What an image keeps of itself: with mixup of every pixel, with cutmix of its area."""

    box: tuple[int, int, int, int] | None
    """Cutmix's rectangle (top, left, bottom, right), in pixels, the last two past the end; None for mixup."""


def pair(
    count: int, *, mixup: float, cutmix: float, image_size: int, seed: int, step: int, micro_batch: int
) -> Pairing | None:
    """Draw how `count` images of image_size x image_size pixels are mixed; None where both alphas are 0.

    With both, one of the two is taken, either with probability 0.5, which is the default of timm's Mixup
    (https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/mixup.py).
    """
    if not mixup and not cutmix:
        return None
    drawn = partners(count, seed=seed, step=step, micro_batch=micro_batch)
    cuts = not mixup or float(uniforms(seed, Stream.MIXING, step, micro_batch)) < 0.5
    if not (cutmix and cuts):
        weight = mixup_weight(alpha=mixup, seed=seed, step=step, micro_batch=micro_batch)
        return Pairing(partners=drawn, weight=weight, box=None)
    box = cutmix_box(alpha=cutmix, image_size=image_size, seed=seed, step=step, micro_batch=micro_batch)
    top, left, bottom, right = box
    weight = 1 - (bottom - top) * (right - left) / image_size**2
    return Pairing(partners=drawn, weight=weight, box=box)


def partners(count: int, *, seed: int, step: int, micro_batch: int) -> NDArray[np.int64]:
    """Whom each of a micro-batch's `count` images is mixed with: a permutation, int64 [count]."""
    return np.argsort(hash64(seed, Stream.PARTNERS, step, micro_batch, np.arange(count)), kind="stable")


def mixup_weight(*, alpha: float, seed: int, step: int, micro_batch: int) -> float:
    """One draw of Beta(alpha, alpha), the weight that an image of this micro-batch keeps for itself."""
    return _beta(alpha, seed, Stream.MIXUP_WEIGHT, step, micro_batch)


def cutmix_box(
    *, alpha: float, image_size: int, seed: int, step: int, micro_batch: int
) -> tuple[int, int, int, int]:
    """The rectangle (top, left, bottom, right) that an image of this micro-batch has from its partner.

    As published (https://arxiv.org/abs/1905.04899, https://github.com/clovaai/CutMix-PyTorch): a square whose
    area is 1 - w of the image's, w from Beta(alpha, alpha), around a uniform centre, cut at the image's edge.
    """
    weight = _beta(alpha, seed, Stream.CUTMIX_WEIGHT, step, micro_batch)
    half = int(image_size * math.sqrt(1 - weight)) // 2
    centre = np.floor(uniforms(seed, Stream.CUTMIX_CENTRE, step, micro_batch, np.arange(2)) * image_size)
    y, x = int(centre[0]), int(centre[1])
    return max(0, y - half), max(0, x - half), min(image_size, y + half), min(image_size, x + half)


def _beta(alpha: float, *words: int) -> float:
    """One draw of Beta(alpha, alpha) for what the words say.

    Up to alpha 1 by Joehnk's method (Joehnk 1964, Metrika 8, https://doi.org/10.1007/BF02613706), above by
    Ulrich's, which rejects nothing (Ulrich 1984, Applied Statistics 33, https://doi.org/10.2307/2347441).
    """
    assert alpha > 0
    attempt = 0
    while True:
        drawn = uniforms(*words, np.arange(2 * attempt, 2 * attempt + 2))
        u, v = 1 - float(drawn[0]), 1 - float(drawn[1])  # in (0, 1]
        if alpha > 1:
            return 0.5 + 0.5 * math.sqrt(1 - u ** (2 / (2 * alpha - 1))) * math.cos(2 * math.pi * v)
        x, y = u ** (1 / alpha), v ** (1 / alpha)
        if 0 < x + y <= 1:
            return x / (x + y)
        if x + y == 0:  # both underflowed at a tiny alpha: the larger is all of the sum
            return float(u > v)
        attempt += 1
