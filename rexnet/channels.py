"""The channel rules of ReXNet and ReXNet-lite: plain numbers, no torch.

Source: "Rethinking Channel Dimensions for Efficient Model Design", Han et al., CVPR 2021
(https://arxiv.org/abs/2007.00992): the channel count of the i-th block grows in a line with i.
Constants as in the authors' code (https://github.com/clovaai/rexnet, rexnetv1.py and rexnetv1_lite.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Literal

WIDTHS = (1.0, 1.3, 1.5, 2.0, 2.2, 3.0)
"""Widths whose training has a recipe; the authors published 0.9 too, and any other positive width builds."""

LITE_WIDTHS = (1.0, 1.3, 1.5, 2.0)
"""Widths of ReXNet-lite that the authors published."""

TOTAL_STRIDE = 32
"""Input pixels per pixel of the last feature map, along one axis."""

_STEM = 32
_FIRST = 16
_PENULTIMATE = 1280
_STAGE_DEPTHS = (1, 2, 2, 3, 3, 5)
_STAGE_STRIDES = (1, 2, 2, 2, 1, 2)
_DEPTH = sum(_STAGE_DEPTHS)
_FIRST_BLOCK_WITH_SE = 3
_EXPANSION = 6
_SE_RATIO = 12
_SLOPE = 180 / _DEPTH
_LITE_SLOPE = 164 / (_DEPTH - 1)
_LITE_DIVISOR = 8
_LITE_NECK = 1024
_WIDEST = 8  # beyond it a name is rather timm's, which has rexnet_100 for 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockShape:
    """One inverted bottleneck: channels in, hidden, squeezed (0: no squeeze-excitation) and out; stride."""

    inputs: int
    hidden: int
    squeeze: int
    outputs: int
    stride: int

    @property
    def shortcut(self) -> bool:
        """Whether the input is added to the first `inputs` channels of the output."""
        return self.stride == 1 and self.inputs <= self.outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkShape:
    """All channel counts of one network.

    Attributes:
        penultimate: channels that are averaged over the image.
        neck: width of a layer between these and the classifier; 0 for none.
        activation: of all convolutions but the depthwise ones, which have ReLU6.
    """

    stem: int
    blocks: tuple[BlockShape, ...]
    penultimate: int
    neck: int
    activation: Literal["silu", "relu6"]

    @property
    def features(self) -> int:
        """Inputs of the classifier."""
        return self.neck or self.penultimate


def network_shape(width: float) -> NetworkShape:
    """Returns the channel counts of ReXNet at a width multiplier.

    Block i of 16 has round(width * (16 + 180 i / 16)) output channels. Below width 1 the stem keeps its
    32 and the line starts at the full 16, as in the authors' code.

    Raises:
        ValueError: `width` is not positive, or hundreds.

    >>> [block.outputs for block in network_shape(1.0).blocks][:5]
    [16, 27, 38, 50, 61]
    """
    _check(width)
    stem, outputs = _line(width, slope=_SLOPE, fit=lambda count: count)
    penultimate = int(_PENULTIMATE * width)
    blocks = _blocks(stem, outputs, squeeze=True)
    return NetworkShape(stem=stem, blocks=blocks, penultimate=penultimate, neck=0, activation="silu")


def lite_shape(width: float) -> NetworkShape:
    """Returns the channel counts of ReXNet-lite: multiples of 8, a gentler slope, no squeeze-excitation.

    Block i of 16 has width * (16 + 164 i / 15) output channels, rounded to a multiple of 8.

    Raises:
        ValueError: `width` is not positive, or hundreds.

    >>> [block.outputs for block in lite_shape(1.0).blocks][:5]
    [16, 32, 40, 48, 64]
    """
    _check(width)
    stem, outputs = _line(width, slope=_LITE_SLOPE, fit=_divisible)
    penultimate = int(_PENULTIMATE * max(width, 1.0))
    blocks = _blocks(stem, outputs, squeeze=False)
    return NetworkShape(
        stem=stem, blocks=blocks, penultimate=penultimate, neck=_LITE_NECK, activation="relu6"
    )


def variant_shape(variant: str) -> NetworkShape:
    """Returns the channel counts of the network that a name stands for.

    Raises:
        ValueError: the name is not `rexnet_` or `rexnet_lite_` followed by a width.

    >>> variant_shape("rexnet_lite_1.0").neck
    1024
    """
    family, _, number = variant.rpartition("_")
    rules = {"rexnet": network_shape, "rexnet_lite": lite_shape}
    near = _likely(variant)
    hint = f"; did you mean {near}?" if near else ""
    try:
        width, rule = float(number), rules[family]
    except (ValueError, KeyError):
        known = ", ".join([*(f"rexnet_{w}" for w in WIDTHS), *(f"rexnet_lite_{w}" for w in LITE_WIDTHS)])
        raise ValueError(
            f"there is no network {variant!r}; there are {known}, and other widths{hint}"
        ) from None
    try:
        return rule(width)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None


def round_up(count: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is not below `count`.

    >>> round_up(27, 8)
    32
    """
    return -(-count // multiple) * multiple


def _check(width: float) -> None:
    if not 1 / _PENULTIMATE <= width <= _WIDEST:
        raise ValueError(
            f"width is {width:g}, but must be positive and at most {_WIDEST}; published are {WIDTHS}"
        )


def _likely(name: str) -> str | None:
    """Returns the published variant whose width ends `name`: rexnet1.3, rexnetv1_1.3, timm's rexnet_130."""
    width = re.search(r"(\d)[._]?(\d)0?x?$", name)
    if width is None:
        return None
    family, widths = ("rexnet_lite", LITE_WIDTHS) if "lite" in name.lower() else ("rexnet", WIDTHS)
    number = f"{width[1]}.{width[2]}"
    return f"{family}_{number}" if float(number) in widths else None


def _line(width: float, *, slope: float, fit: Callable[[int], int]) -> tuple[int, tuple[int, ...]]:
    """Returns the stem's channels and each block's outputs.

    The line is summed up, not multiplied, since the authors' is: floats then round to the same channels.
    """
    small = min(width, 1.0)
    line = accumulate(repeat(slope, _DEPTH - 1), initial=_FIRST / small)
    return fit(round(_STEM / small * width)), tuple(fit(round(count * width)) for count in line)


def _divisible(count: int) -> int:
    """Returns the nearest multiple of 8, or the one above where that is less than nine tenths."""
    near = max(_LITE_DIVISOR, int(count + _LITE_DIVISOR / 2) // _LITE_DIVISOR * _LITE_DIVISOR)
    return near + _LITE_DIVISOR if near < 0.9 * count else near


def _blocks(stem: int, outputs: tuple[int, ...], *, squeeze: bool) -> tuple[BlockShape, ...]:
    strides = [
        stride if first else 1
        for stride, depth in zip(_STAGE_STRIDES, _STAGE_DEPTHS, strict=True)
        for first in [True] + [False] * (depth - 1)
    ]
    blocks = []
    for i, (inputs, channels) in enumerate(zip((stem, *outputs), outputs, strict=False)):
        hidden = inputs * _EXPANSION if i else inputs
        squeezed = hidden // _SE_RATIO if squeeze and i >= _FIRST_BLOCK_WITH_SE else 0
        blocks.append(
            BlockShape(inputs=inputs, hidden=hidden, squeeze=squeezed, outputs=channels, stride=strides[i])
        )
    return tuple(blocks)
