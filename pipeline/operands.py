"""RandAugment's operations as the graph computes them: eight forms, and the numbers that each one takes.

Several operations are one form with other numbers: rotation and shear are maps of the plane, inversion and
posterisation are tables. So a batch falls into few groups, and a group has enough images to share among the
threads. docs/augmentation.md lists the numbers.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.randaugment import BINS, OPERATIONS, SIGNED, Draws

FORMS = ("map", "table", "shift", "contrast", "saturation", "filter", "auto-contrast", "equalize")
"""Form i + 1 of `Operands.forms` is FORMS[i]."""

COUNT = 9
"""Numbers to an operation; what a form does not need is 0."""

MARGIN = 1
"""Pixels of fill that an image has around it when it is mapped."""

_STEPS = BINS - 1
_WHOLE = np.arange(BINS)
_BITS = tuple(max(1, bits) for bits in range(5))  # as timm, which leaves one bit at least
_BLUR = np.array([1, 1, 1, 1, 5, 1, 1, 1, 1]) / 13  # Pillow's ImageFilter.SMOOTH
_SAME = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0])

_INVERT, _POSTERIZE, _SOLARIZE, _SOLARIZE_ADD = 0, 1, 6, 6 + BINS

_FORM_OF = {
    "rotate": "map",
    "shear-x": "map",
    "shear-y": "map",
    "invert": "table",
    "posterize": "table",
    "solarize": "table",
    "solarize-add": "table",
    "translate-x": "shift",
    "translate-y": "shift",
    "brightness": "contrast",
    "contrast": "contrast",
    "color": "saturation",
    "sharpness": "filter",
    "auto-contrast": "auto-contrast",
    "equalize": "equalize",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operands:
    """What the graph takes for B images of n operations each."""

    forms: NDArray[np.int32]
    """[B, n], 0 for none, else 1 + the place in FORMS."""

    numbers: NDArray[np.float32]
    """[B, n, COUNT]. map: the 2 x 3 matrix from places of the result to places of the image with its margin,
    in pixels, then the side. table: 256 times the row of `tables`. shift: the result's upper left corner
    (y, x) in the image, then the side. contrast: the factor, and 1 where the image's mean is the centre or 0
    for black. saturation: the factor. filter: the kernel."""


def operands(drawn: Draws, *, image_size: int) -> Operands:
    """The forms and numbers of what was drawn, for images of image_size x image_size pixels."""
    forms, numbers = np.zeros_like(drawn.operations), np.zeros((*drawn.operations.shape, COUNT), np.float32)
    for place, name in enumerate(OPERATIONS):
        chosen = drawn.operations == place + 1
        if chosen.any():
            share = drawn.bins[chosen] / _STEPS
            if name in SIGNED:
                share = np.where(drawn.signs[chosen] > 0, -share, share)
            forms[chosen] = 1 + FORMS.index(_FORM_OF[name])
            found = _numbers(name, share, drawn.bins[chosen], side=image_size)
            numbers[chosen, : found.shape[1]] = found
    return Operands(forms=forms, numbers=numbers)


def tables() -> NDArray[np.uint8]:
    """[T, 256], what each level becomes: inversion, posterisation by bits kept, solarisation and its sum by
    bins.

    Magnitudes are rounded down as timm's int() does, without floats on the way.
    """
    level = np.arange(256)
    kept = [level & (256 - (1 << (8 - bits))) for bits in _BITS]
    solarized = [np.where(level < threshold, level, 255 - level) for threshold in _WHOLE * 256 // _STEPS]
    added = [np.where(level < 128, np.minimum(level + more, 255), level) for more in _WHOLE * 110 // _STEPS]
    return np.array([255 - level, *kept, *solarized, *added], dtype=np.uint8)


def _numbers(
    name: str, share: NDArray[np.floating], bins: NDArray[np.int32], *, side: int
) -> NDArray[np.floating]:
    """[E, up to COUNT] numbers of one operation, at `share` [E], -1 .. 1, of its largest magnitude."""
    zero, one, sides = np.zeros_like(share), np.ones_like(share), np.full_like(share, side)
    factor = 0.1 + 1.8 * share
    if name == "rotate":
        return _map(*_turn(share * math.radians(30), side=side), side=side)
    if name == "shear-x":
        return _map(one, -0.3 * share, zero, zero, one, zero, side=side)
    if name == "shear-y":
        return _map(one, zero, zero, -0.3 * share, one, zero, side=side)
    if name.startswith("translate"):
        moved = np.floor(0.5 - 0.45 * share * side)
        return np.stack([zero, moved, sides] if name == "translate-x" else [moved, zero, sides], axis=1)
    if name in ("brightness", "contrast"):
        return np.stack([factor, one if name == "contrast" else zero], axis=1)
    if name == "color":
        return factor[:, None]
    if name == "sharpness":
        return _BLUR + factor[:, None] * (_SAME - _BLUR)
    row = {
        "invert": zero + _INVERT,
        "posterize": _POSTERIZE + bins * (len(_BITS) - 1) // _STEPS,
        "solarize": _SOLARIZE + bins,
        "solarize-add": _SOLARIZE_ADD + bins,
    }.get(name)
    return np.empty((len(share), 0)) if row is None else 256.0 * row[:, None]


def _turn(angle: NDArray[np.floating], *, side: int) -> tuple[NDArray[np.floating], ...]:
    """From places of an image turned around its centre, counter-clockwise in radians, to the image's."""
    cosine, sine, middle = np.cos(angle), np.sin(angle), side / 2
    return (
        cosine,
        -sine,
        middle * (1 - cosine + sine),
        sine,
        cosine,
        middle * (1 - sine - cosine),
    )


def _map(*matrix: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """[E, 7] of the rows (a, b, c) and (d, e, f): x' = a x + b y + c, y' = d x + e y + f."""
    a, b, c, d, e, f = matrix
    return np.stack([a, b, c + MARGIN, d, e, f + MARGIN, np.full_like(a, side)], axis=1)
