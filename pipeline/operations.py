"""RandAugment's operations in a DALI graph, in the forms of `pipeline.operands`.

Which form with which numbers are inputs. docs/augmentation.md says in what the operations depart from timm's.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import nvidia.dali.fn as fn
from nvidia.dali.pipeline import do_not_convert
from nvidia.dali.types import DALIDataType, DALIImageType, DALIInterpType

from pipeline.batch import MEAN
from pipeline.operands import MARGIN, tables

MEAN_COLOUR = tuple(round(255 * value) for value in MEAN)
"""What moves into an image from outside."""

_FLOAT, _INT = DALIDataType.FLOAT, DALIDataType.INT32
_BYTE, _WORD = DALIDataType.UINT8, DALIDataType.UINT16


class Numbers(NamedTuple):
    """An operation's numbers, [COUNT]."""

    host: Any
    """On the CPU, where named arguments must lie."""

    here: Any
    """Where the images lie."""


def apply(images: Any, *, forms: Any, numbers: Numbers, count: int) -> Any:
    """Apply to uint8 images [S, S, 3] `count` operations, one after another.

    To be called in a pipeline with conditionals, with the forms [n] and numbers [n, COUNT] of each image.
    """
    for level in range(count):
        form, own = forms[level], Numbers(numbers.host[level], numbers.here[level])
        if form > 0:
            images = _choose(images, form - 1, own, _CALLS)
    return images


def _choose(images: Any, form: Any, numbers: Numbers, calls: Sequence[Callable[[Any, Numbers], Any]]) -> Any:
    """Apply the form-th of the calls, found by halving."""
    if len(calls) == 1:
        return calls[0](images, numbers)
    half = len(calls) // 2
    if form < half:
        images = _choose(images, form, numbers, calls[:half])
    else:
        images = _choose(images, form - half, numbers, calls[half:])
    return images


def _mapped(images: Any, numbers: Numbers) -> Any:
    """The margin, repeated outwards, is the fill: half the cost of DALI's own, and in any colour."""
    side = fn.cast(numbers.host[6:7], dtype=_INT)
    sides: Any = fn.cat(side, side)
    framed = fn.slice(
        images,
        start=[-MARGIN, -MARGIN],
        shape=sides + 2 * MARGIN,
        axes=[0, 1],
        out_of_bounds_policy="pad",
        fill_values=MEAN_COLOUR,
    )
    return fn.warp_affine(
        framed,
        matrix=fn.reshape(numbers.host[0:6], shape=[2, 3]),
        size=fn.cast(sides, dtype=_FLOAT),
        interp_type=DALIInterpType.INTERP_LINEAR,
    )


def _looked_up(images: Any, numbers: Numbers) -> Any:
    rows = tables()
    level: Any = fn.cast(images, dtype=_WORD)
    places = level + fn.cast(numbers.here[0], dtype=_WORD)
    return fn.lookup_table(places, keys=list(range(rows.size)), values=rows.ravel().tolist(), dtype=_BYTE)


def _shifted(images: Any, numbers: Numbers) -> Any:
    side = fn.cast(numbers.host[2:3], dtype=_INT)
    return fn.slice(
        images,
        start=fn.cast(numbers.host[0:2], dtype=_INT),
        shape=fn.cat(side, side),
        axes=[0, 1],
        out_of_bounds_policy="pad",
        fill_values=MEAN_COLOUR,
    )


def _contrasted(images: Any, numbers: Numbers) -> Any:
    mean: Any = fn.reductions.mean(_gray(images))
    return fn.contrast(images, contrast=numbers.host[0], contrast_center=mean.cpu() * numbers.host[1])


def _saturated(images: Any, numbers: Numbers) -> Any:
    return fn.saturation(images, saturation=numbers.host[0])


def _filtered(images: Any, numbers: Numbers) -> Any:
    return fn.filter(images, fn.reshape(numbers.here, shape=[3, 3]))


def _auto_contrasted(images: Any, _: Numbers) -> Any:
    """Each channel's darkest level becomes 0 and its lightest 255; a channel of one level stays."""
    low: Any = fn.reductions.min(images, axis_names="HW", keep_dims=True)
    high: Any = fn.reductions.max(images, axis_names="HW", keep_dims=True)
    span = high - low
    flat = span == 0
    stretched = (images - low * (flat ^ True)) * (255 / (span + 255 * flat))
    return fn.cast(stretched, dtype=_BYTE)


def _equalized(images: Any, _: Numbers) -> Any:
    return fn.equalize(images)


def _gray(images: Any) -> Any:
    return fn.color_space_conversion(images, image_type=DALIImageType.RGB, output_type=DALIImageType.GRAY)


_CALLS = [
    do_not_convert(call)  # none has conditionals of its own, and translating them takes time
    for call in (
        _mapped,
        _looked_up,
        _shifted,
        _contrasted,
        _saturated,
        _filtered,
        _auto_contrasted,
        _equalized,
    )
]
