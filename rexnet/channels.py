"""The channel rule of ReXNet: plain numbers, no torch.

Source: "Rethinking Channel Dimensions for Efficient Model Design", Han et al., CVPR 2021
(https://arxiv.org/abs/2007.00992): the channel count of the i-th block grows in a line with i.
Constants as in the authors' code (https://github.com/clovaai/rexnet, rexnetv1.py).
"""

from dataclasses import dataclass

WIDTHS = (1.0, 1.3, 1.5, 2.0, 2.2, 3.0)
"""Widths the authors published or trained; any other positive width builds too."""

_STEM = 32
_FIRST = 16
_GROWTH = 180
_PENULTIMATE = 1280
_STAGE_DEPTHS = (1, 2, 2, 3, 3, 5)
_STAGE_STRIDES = (1, 2, 2, 2, 1, 2)
_FIRST_STAGE_WITH_SE = 2
_SE_RATIO = 12
TOTAL_STRIDE = 32
"""Input pixels per pixel of the last feature map, along one axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockShape:
    """One inverted bottleneck: channels in and out, expansion, stride, squeeze width (0: none)."""

    inputs: int
    outputs: int
    expansion: int
    stride: int
    squeeze: int

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.inputs * self.expansion

    @property
    def shortcut(self) -> bool:
        """Whether the input is added to the first `inputs` channels of the output."""
        return self.stride == 1 and self.inputs <= self.outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkShape:
    """All channel counts of one network."""

    stem: int
    blocks: tuple[BlockShape, ...]
    penultimate: int


def network_shape(width: float) -> NetworkShape:
    """Returns the channel counts of ReXNet at a width multiplier.

    Block i of 16 has round(width * (16 + 180 i / 16)) output channels. Below width 1 the stem keeps its
    32 and the line starts at the full 16, as in the authors' code.

    Raises:
        ValueError: `width` is not positive.

    >>> [block.outputs for block in network_shape(1.0).blocks][:5]
    [16, 27, 38, 50, 61]
    """
    if width <= 0:
        raise ValueError(f"width is {width:g}, but must be positive; the published ones are {WIDTHS}")
    depth = sum(_STAGE_DEPTHS)
    stem = round(_STEM * max(width, 1.0))
    first = _FIRST / min(width, 1.0)
    outputs = [round(width * (first + _GROWTH * i / depth)) for i in range(depth)]
    stages = [stage for stage, count in enumerate(_STAGE_DEPTHS) for _ in range(count)]
    blocks = []
    inputs = stem
    for i, stage in enumerate(stages):
        starts_stage = i == 0 or stages[i - 1] != stage
        expansion = 1 if i == 0 else 6
        hidden = inputs * expansion
        blocks.append(
            BlockShape(
                inputs=inputs,
                outputs=outputs[i],
                expansion=expansion,
                stride=_STAGE_STRIDES[stage] if starts_stage else 1,
                squeeze=hidden // _SE_RATIO if stage >= _FIRST_STAGE_WITH_SE else 0,
            )
        )
        inputs = outputs[i]
    return NetworkShape(stem=stem, blocks=tuple(blocks), penultimate=int(_PENULTIMATE * width))


def variant_width(variant: str) -> float:
    """Returns the width multiplier that a variant's name carries.

    Raises:
        ValueError: the name is not `rexnet_` followed by a number.

    >>> variant_width("rexnet_1.3")
    1.3
    """
    prefix, _, number = variant.partition("_")
    try:
        if prefix != "rexnet":
            raise ValueError
        return float(number)
    except ValueError:
        known = ", ".join(f"rexnet_{width}" for width in WIDTHS)
        raise ValueError(f"there is no network {variant!r}; there are {known}") from None
