"""How far two networks' answers are from each other, on random images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rexnet.model import ReXNet

BATCHES = (1, 3, 4)
"""Images of each batch that is compared."""

EXACT = 1e-4
"""Difference of logits that other orders of summing may make; of the largest logit where that exceeds 1."""

HALF = 2e-2
"""Difference that rounding every weight to float16 may make, likewise."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """What a comparison found."""

    difference: float
    """The largest of any logit."""
    largest: float
    """The largest logit itself."""
    same: int
    """Images whose first class is the same."""
    images: int

    def within(self, tolerance: float) -> bool:
        return self.difference <= tolerance * max(1.0, self.largest)

    def __str__(self) -> str:
        if not self.difference:
            return f"the same logits as the source, on {self.images} random images"
        return (
            f"logits within {self.difference:.1e} of the source's, whose largest is {self.largest:.1f}; "
            f"the same first class for {self.same} of {self.images} random images"
        )


def compare(model: ReXNet, other: Callable[[Tensor], Tensor], *, image_size: int) -> Nearness:
    """Shows both the same random images, in batches of several sizes.

    Args:
        other: maps images [B, 3, S, S] to logits [B, classes].
    """
    generator = torch.Generator().manual_seed(0)
    pairs = []
    with torch.inference_mode():
        for count in BATCHES:
            images = torch.randn(count, 3, image_size, image_size, generator=generator)
            pairs.append((model(images), other(images)))
    ours, theirs = (torch.cat(column) for column in zip(*pairs, strict=True))
    if ours.shape != theirs.shape or not theirs.isfinite().all():
        return Nearness(difference=float("inf"), largest=0.0, same=0, images=len(ours))
    return Nearness(
        difference=float((ours - theirs).abs().max()),
        largest=float(ours.abs().max()),
        same=int((ours.argmax(1) == theirs.argmax(1)).sum()),
        images=len(ours),
    )
