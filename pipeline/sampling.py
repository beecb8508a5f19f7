"""What is drawn for a training image, and the window of an evaluation image: pure numpy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.hashing import Stream, uniforms

Ints = NDArray[np.integer]

ATTEMPTS = 10
_CROP_SLOTS = 0  # four to an attempt: area, aspect, y, x
_FLIP_SLOT = 40
_LOG_ASPECT = math.log(4 / 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What was drawn for a batch of B training images."""

    starts: NDArray[np.int32]
    """[B, 2] upper left corners (y, x) of the windows, in pixels."""

    shapes: NDArray[np.int32]
    """[B, 2] heights and widths of the windows, in pixels."""

    flips: NDArray[np.bool_]
    """[B] images to be mirrored."""


def draw(
    *, seed: int, epochs: Ints, ids: Ints, heights: Ints, widths: Ints, scale_min: float, flip: float
) -> Draws:
    """Draw the crop and the flip of images `ids` [B] in `epochs` [B], of `heights` and `widths` [B] pixels.

    A sample's values depend on (seed, epoch, id) alone, not on its place in the batch.
    """
    slots = np.arange(_FLIP_SLOT + 1)
    u = uniforms(seed, Stream.AUGMENTATION, epochs[:, None], ids[:, None], slots)
    crop = u[:, _CROP_SLOTS : _CROP_SLOTS + 4 * ATTEMPTS].reshape(len(ids), ATTEMPTS, 4)
    starts, shapes = crop_windows(crop, heights=heights, widths=widths, scale_min=scale_min)
    return Draws(starts=starts, shapes=shapes, flips=u[:, _FLIP_SLOT] < flip)


def crop_windows(
    u: NDArray[np.float64], *, heights: Ints, widths: Ints, scale_min: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Windows of random area and aspect from uniforms [B, attempts, 4]: starts [B, 2] and shapes [B, 2].

    The rule of torchvision's RandomResizedCrop (after https://arxiv.org/abs/1409.4842): an area uniform in
    [scale_min, 1] of the image's and a log-uniform aspect in [3/4, 4/3]; the first attempt that fits is
    placed uniformly, and where none fits the largest central window with an allowed aspect is taken.
    """
    height, width = heights.astype(np.int64), widths.astype(np.int64)
    area = (height * width)[:, None] * (scale_min + (1 - scale_min) * u[..., 0])
    aspect = np.exp(_LOG_ASPECT * (2 * u[..., 1] - 1))
    tall, wide = np.rint(np.sqrt(area / aspect)), np.rint(np.sqrt(area * aspect))
    fits = (tall > 0) & (wide > 0) & (tall <= height[:, None]) & (wide <= width[:, None])

    chosen = np.arange(len(u)), fits.argmax(axis=1)
    shapes = np.stack([tall[chosen], wide[chosen]], axis=1)
    sizes = np.stack([height, width], axis=1)
    starts = np.floor(u[..., 2:][chosen] * (sizes - shapes + 1))

    tallest, widest = np.minimum(height, np.rint(width * 4 / 3)), np.minimum(width, np.rint(height * 4 / 3))
    central = np.stack([tallest, widest], axis=1)
    none = ~fits.any(axis=1)
    shapes[none] = central[none]
    starts[none] = (sizes[none] - central[none]) // 2
    return starts.astype(np.int32, order="C"), shapes.astype(np.int32, order="C")


def central_windows(
    *, heights: Ints, widths: Ints, image_size: int, crop_ratio: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Evaluation windows as starts and ends (y, x), float32 [B, 2], in pixels of the stored image.

    Resizing a window to image_size x image_size at once is what torchvision does in two: Resize of the
    shorter side to floor(image_size / crop_ratio), the longer cut to an integer, then CenterCrop. That
    of an image of 0 x 0 pixels has no meaning.
    """
    sizes = np.maximum(np.stack([heights, widths], axis=1).astype(np.int64), 1)
    resized = math.floor(image_size / crop_ratio) * sizes // sizes.min(axis=1, keepdims=True)
    starts = np.rint((resized - image_size) / 2)
    pixel = sizes / resized
    ends = (starts + image_size) * pixel
    return (starts * pixel).astype(np.float32, order="C"), ends.astype(np.float32, order="C")
