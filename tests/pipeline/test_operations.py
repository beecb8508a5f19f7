"""RandAugment's operations in the DALI graph, against Pillow's as timm calls them."""

from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from pipeline import graph, operations
from pipeline.operands import operands
from pipeline.randaugment import OPERATIONS, PLAIN, SIGNED, Draws
from tests.pipeline.test_graph import CPU, ON_CPU, as_pixels, encoded, inputs, picture

SIDE = 96
BINS = (0, 37, 83, 90, 100)


def by_pillow(image, name, magnitude, sign):
    """The operation at a magnitude 0 .. 10 with timm's arguments."""
    level, signed = magnitude / 10, (-magnitude if sign else magnitude) / 10
    fill = {"resample": Image.Resampling.BILINEAR, "fillcolor": operations.MEAN_COLOUR}
    factor = level * 1.8 + 0.1
    affine = {
        "shear-x": (1, -0.3 * signed, 0, 0, 1, 0),
        "shear-y": (1, 0, 0, -0.3 * signed, 1, 0),
    }
    if name in affine:  # the matrix maps back: a positive magnitude moves to the right and down
        return image.transform(image.size, Image.Transform.AFFINE, affine[name], **fill)
    if name.startswith("translate"):  # by whole pixels
        moved = Image.new("RGB", image.size, operations.MEAN_COLOUR)
        pixels = round(0.45 * signed * SIDE)
        moved.paste(image, (pixels, 0) if name == "translate-x" else (0, pixels))
        return moved
    added = int(level * 110)
    return {
        "auto-contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "invert": lambda: ImageOps.invert(image),
        "rotate": lambda: image.rotate(30 * signed, **fill),
        "posterize": lambda: ImageOps.posterize(image, max(1, int(level * 4))),
        "solarize": lambda: ImageOps.solarize(image, int(level * 256)),
        "solarize-add": lambda: image.point([min(255, v + added) if v < 128 else v for v in range(256)] * 3),
        "color": lambda: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
    }[name]()


def by_dali(image, drawn, *, count=1, flip=0, size=SIDE):
    """A list of (operations, bins, signs), each of `count` numbers, applied to the same image."""
    base = inputs(
        [encoded(image)] * len(drawn), [[0, 0, *image.size[::-1]]] * len(drawn), size, [flip] * len(drawn)
    )
    columns = [np.array(column, dtype=np.int32).reshape(-1, count) for column in zip(*drawn, strict=True)]
    draws = Draws(operations=columns[0], bins=columns[1], signs=columns[2])
    taken = operands(draws, image_size=size)
    train = partial(graph.train_graph, rand_ops=count)
    batches = iter([(*base, taken.forms, taken.numbers)])
    pipe = graph.build(train, batches, placement=ON_CPU, batch=len(drawn), threads=1)
    return as_pixels(graph.run(pipe, device=CPU))


@pytest.fixture(scope="module")
def image():
    return picture(SIDE, SIDE)


@pytest.fixture(scope="module")
def shown(image):
    """Every operation at every magnitude and sign, by one graph."""
    keys = [
        (name, bin, sign)
        for name in OPERATIONS
        for bin in (BINS if name not in PLAIN else (90,))
        for sign in ((0, 1) if name in SIGNED else (0,))
    ]
    drawn = [(1 + OPERATIONS.index(name), bin, sign) for name, bin, sign in keys]
    return dict(zip(keys, by_dali(image, drawn), strict=True))


EXACT = ("invert", "posterize", "solarize", "solarize-add", "translate-x", "translate-y")
ROUNDED = ("auto-contrast", "color", "contrast", "brightness")  # Pillow cuts where DALI rounds


@pytest.mark.parametrize("name", EXACT + ROUNDED)
def test_colours_and_shifts_are_pillows(shown, image, name):
    found = {key: pixels for key, pixels in shown.items() if key[0] == name}
    assert len(found) == (1 if name in PLAIN else len(BINS)) * (2 if name in SIGNED else 1)
    for (_, bin, sign), pixels in found.items():
        difference = np.abs(pixels - np.asarray(by_pillow(image, name, bin / 10, sign), dtype=float))
        assert difference.max() < (0.01 if name in EXACT else 2.01), (bin, sign)


@pytest.mark.parametrize("name", ["sharpness", "rotate", "shear-x", "shear-y"])
def test_shapes_are_pillows_but_for_edges(shown, image, name):
    """Pillow leaves off within half a pixel of an edge, and its smoothing leaves the outermost pixel."""
    for (which, bin, sign), pixels in shown.items():
        if which != name:
            continue
        difference = np.abs(pixels - np.asarray(by_pillow(image, name, bin / 10, sign), dtype=float))
        assert difference.mean() < 1.5, (bin, sign)
        assert (difference > 3.01).mean() < 0.05, (bin, sign)


def test_equalize_flattens_the_histogram(shown, image):
    """DALI's rule is OpenCV's: within some levels of Pillow's where no colour dominates."""
    found = shown["equalize", 90, 0]
    theirs = np.asarray(by_pillow(image, "equalize", 9, 0), dtype=float)
    assert np.abs(found - theirs).mean() < 6
    for channel in np.moveaxis(found, -1, 0):
        assert np.abs(np.quantile(channel, [0.25, 0.5, 0.75]) - [64, 128, 191]).max() < 16


def test_none_changes_nothing_and_two_are_applied_one_after_the_other(image):
    rotate, invert = 1 + OPERATIONS.index("rotate"), 1 + OPERATIONS.index("invert")
    drawn = [
        ((0, 0), (90, 90), (0, 1)),
        ((rotate, 0), (50, 90), (1, 0)),
        ((0, rotate), (90, 50), (0, 1)),
        ((rotate, invert), (50, 90), (1, 0)),
        ((invert, rotate), (90, 50), (0, 1)),
    ]
    none, first, second, inside, outside = by_dali(image, drawn, count=2)
    assert np.abs(none - np.asarray(image)).max() < 0.01
    assert np.array_equal(first, second) and not np.array_equal(first, none)
    assert np.abs(inside - (255 - first)).max() < 0.01  # the fill is inverted, too
    corner = [pixels[0, 0] for pixels in (inside, outside)]
    assert np.abs(corner[0] - (255 - np.array(operations.MEAN_COLOUR))).max() < 0.01
    assert np.abs(corner[1] - operations.MEAN_COLOUR).max() < 0.01


def test_a_shift_is_a_share_of_the_size_it_is_shown_at(image):
    shift = 1 + OPERATIONS.index("translate-x")
    for size in (40, 80):
        pixels = by_dali(image, [((shift,), (100,), (0,))], size=size)[0]
        filled = (np.abs(pixels - operations.MEAN_COLOUR) < 0.01).all(axis=(0, 2))
        assert filled.sum() == 0.45 * size and filled[: int(0.45 * size)].all()


def test_the_image_is_mirrored_after_its_operations(image):
    drawn = [((1 + OPERATIONS.index("rotate"),), (90,), (0,))]
    assert np.array_equal(by_dali(image, drawn)[0], by_dali(image, drawn, flip=1)[0][:, ::-1])
