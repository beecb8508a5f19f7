"""RandAugment's operations in a DALI graph: DALI's own where they do the same, with timm's ranges.

Which operation, how strong and in which direction are inputs. docs/augmentation.md says what each does and
in what it departs from timm's.
"""

from typing import Any

import numpy as np
import nvidia.dali.fn as fn
from numpy.typing import NDArray
from nvidia.dali.auto_aug import augmentations
from nvidia.dali.auto_aug.core import augmentation, select, signed_bin
from nvidia.dali.math import floor
from nvidia.dali.pipeline import do_not_convert
from nvidia.dali.types import DALIDataType, DALIInterpType

from pipeline.batch import MEAN
from pipeline.randaugment import BINS, OPERATIONS

_dali: Any = augmentations  # DALI's stubs describe the functions before they were decorated

MEAN_COLOUR = tuple(round(255 * value) for value in MEAN)
"""What moves into an image from outside."""

FILL = MEAN_COLOUR[1]
"""The same where DALI takes a single value for all channels, which is where it rotates and shears."""

_TENTHS = np.arange(BINS)
_STEPS = BINS - 1
_ENHANCE = (0.1, 1.9)
_MOVED = (0.0, 0.45)  # share of the image's side


def _whole(largest: int) -> NDArray[np.int32]:
    """Magnitudes 0 .. largest of every bin, rounded down as timm's int() does, without floats on the way."""
    return (_TENTHS * largest // _STEPS).astype(np.int32)


def _added(value: Any) -> NDArray[np.uint8]:
    return np.array(value, dtype=np.uint8)


def _equalized(images: Any, _: Any) -> Any:
    return fn.equalize(images)


def _sharpened(images: Any, kernel: Any) -> Any:
    return fn.filter(images, kernel)


def _down(share: Any) -> NDArray[np.float32]:
    return np.array([share, 0], dtype=np.float32)


def _right(share: Any) -> NDArray[np.float32]:
    return np.array([0, share], dtype=np.float32)


def _translated(images: Any, shares: Any, shape: Any) -> Any:
    start = fn.cast(floor(0.5 - shares * shape), dtype=DALIDataType.INT32)
    size = fn.cast(shape, dtype=DALIDataType.INT32)
    return fn.slice(
        images, start=start, shape=size, axes=[0, 1], out_of_bounds_policy="pad", fill_values=MEAN_COLOUR
    )


_AUGMENTATIONS: dict[str, Any] = {
    "auto-contrast": _dali.auto_contrast,
    "equalize": augmentation(_equalized),
    "invert": _dali.invert,
    "rotate": _dali.rotate.augmentation((0, 30), True),
    "posterize": _dali.posterize.augmentation(_whole(4), False, _dali.poster_mask_uint8),
    "solarize": _dali.solarize.augmentation(_whole(256), False, None),
    "solarize-add": _dali.solarize_add.augmentation(_whole(110), False, _added),
    "color": _dali.color.augmentation(_ENHANCE, False, None),
    "contrast": _dali.contrast.augmentation(_ENHANCE, False, None),
    "brightness": _dali.brightness.augmentation(_ENHANCE, False, None),
    "sharpness": augmentation(
        _sharpened, mag_range=_ENHANCE, mag_to_param=_dali.sharpness_kernel_shifted, param_device="auto"
    ),
    "shear-x": _dali.shear_x.augmentation((0, 0.3), True),
    "shear-y": _dali.shear_y.augmentation((0, 0.3), True),
    "translate-x": augmentation(_translated, mag_range=_MOVED, randomly_negate=True, mag_to_param=_right),
    "translate-y": augmentation(_translated, mag_range=_MOVED, randomly_negate=True, mag_to_param=_down),
}


def _unconverted(operation: Any) -> Any:
    """An operation without conditionals of its own; DALI need not translate it, which takes seconds."""

    @do_not_convert
    def call(**arguments: Any) -> Any:
        return operation(**arguments)

    return call


_CALLS = [_unconverted(_AUGMENTATIONS[name]) for name in OPERATIONS]


def apply(images: Any, *, operations: Any, bins: Any, signs: Any, size: Any, count: int) -> Any:
    """Apply to uint8 images [S, S, 3] the `count` operations of `randaugment.Draws`, one after another.

    To be called in a pipeline with conditionals. `size` is each image's (height, width).
    """
    for level in range(count):
        operation = operations[level]
        strength = signed_bin(bins[level], random_sign=signs[level])
        if operation > 0:
            images = select(
                _CALLS,
                operation - 1,
                data=images,
                magnitude_bin=strength,
                num_magnitude_bins=BINS,
                shape=size,
                fill_value=FILL,
                interp_type=DALIInterpType.INTERP_LINEAR,
            )
    return images
