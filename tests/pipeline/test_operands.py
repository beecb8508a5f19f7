"""What the graph takes for RandAugment's operations, against their definitions."""

import math

import numpy as np
import pytest

from pipeline.operands import COUNT, FORMS, MARGIN, operands, tables
from pipeline.randaugment import BINS, OPERATIONS, PLAIN, Draws


def taken(name, bin, sign=0, *, side=100):
    """(form, numbers) of one operation."""
    place = np.array([[0 if name is None else 1 + OPERATIONS.index(name)]], dtype=np.int32)
    drawn = Draws(operations=place, bins=place * 0 + bin, signs=place * 0 + sign)
    found = operands(drawn, image_size=side)
    form = int(found.forms[0, 0])
    return FORMS[form - 1] if form else None, found.numbers[0, 0]


def test_every_operation_has_a_form_and_numbers_of_its_own():
    seen = {}
    for name in OPERATIONS:
        form, numbers = taken(name, 83)
        assert form is not None and numbers.shape == (COUNT,) and numbers.dtype == np.float32
        seen[name] = form, *numbers.tolist()
    assert len(set(seen.values())) == len(OPERATIONS)
    form, numbers = taken(None, 83)
    assert form is None and not numbers.any()


def test_operations_keep_their_places_in_a_batch():
    rng = np.random.default_rng(0)
    drawn = Draws(
        operations=rng.integers(0, 16, (40, 3)).astype(np.int32),
        bins=rng.integers(0, BINS, (40, 3)).astype(np.int32),
        signs=rng.integers(0, 2, (40, 3)).astype(np.int32),
    )
    found = operands(drawn, image_size=64)
    for row, column in np.ndindex(40, 3):
        which = drawn.operations[row, column]
        name = OPERATIONS[which - 1] if which else None
        form, numbers = taken(name, drawn.bins[row, column], drawn.signs[row, column], side=64)
        assert found.forms[row, column] == (1 + FORMS.index(form) if form else 0)
        assert np.array_equal(found.numbers[row, column], numbers)


def test_a_turn_keeps_the_centre_and_moves_the_corner_as_pillow_does():
    _, numbers = taken("rotate", 50, side=100)
    matrix = numbers[:6].reshape(2, 3)
    assert matrix @ [50, 50, 1] == pytest.approx([50 + MARGIN, 50 + MARGIN], abs=1e-4)
    angle = math.radians(15)  # counter-clockwise: what shows at the right lay below
    found = matrix @ [60, 50, 1] - [50 + MARGIN, 50 + MARGIN]
    assert found == pytest.approx([10 * math.cos(angle), 10 * math.sin(angle)], abs=1e-4)
    assert np.linalg.det(matrix[:, :2]) == pytest.approx(1, abs=1e-6)
    back = taken("rotate", 50, 1, side=100)[1][:6].reshape(2, 3)
    assert matrix[:, :2] @ back[:, :2] == pytest.approx(np.eye(2), abs=1e-6)


@pytest.mark.parametrize(("name", "wanted"), [("shear-x", (1, -0.27, 0, 1)), ("shear-y", (1, 0, -0.27, 1))])
def test_a_shear_leaves_the_origin(name, wanted):
    matrix = taken(name, 90)[1][:6].reshape(2, 3)
    assert matrix[:, :2].ravel() == pytest.approx(wanted)
    assert matrix[:, 2].tolist() == [MARGIN, MARGIN]


def test_a_shift_is_in_whole_pixels():
    assert taken("translate-x", 90, side=100)[1][:3].tolist() == [0, -40, 100]
    assert taken("translate-y", 90, 1, side=100)[1][:3].tolist() == [41, 0, 100]


@pytest.mark.parametrize(("name", "wanted"), [("brightness", [1.72, 0]), ("contrast", [1.72, 1])])
def test_brightness_is_contrast_around_black(name, wanted):
    form, numbers = taken(name, 90)
    assert form == "contrast" and numbers[:2].tolist() == pytest.approx(wanted)


def test_the_kernel_of_sharpness_leaves_an_even_image_as_it_is():
    for bin in (0, 50, 90, 100):
        assert taken("sharpness", bin)[1].sum() == pytest.approx(1)
    assert taken("sharpness", 50)[1].tolist() == pytest.approx([0] * 4 + [1] + [0] * 4, abs=1e-6)


def test_tables_are_the_definitions():
    rows = tables()
    assert rows.dtype == np.uint8 and rows.size < 2**16  # the places in it are uint16
    level = np.arange(256)

    def row(name, bin):
        number = taken(name, bin)[1][0] / 256
        return rows[int(number)].tolist()

    assert row("invert", 90) == (255 - level).tolist()
    for bin in range(BINS):
        bits, threshold, more = max(1, 4 * bin // 100), 256 * bin // 100, 110 * bin // 100
        assert row("posterize", bin) == [v >> (8 - bits) << (8 - bits) for v in range(256)]
        assert row("solarize", bin) == [v if v < threshold else 255 - v for v in range(256)]
        assert row("solarize-add", bin) == [min(255, v + more) if v < 128 else v for v in range(256)]


def test_what_has_no_magnitude_does_not_depend_on_one():
    for name in PLAIN:
        assert np.array_equal(taken(name, 10)[1], taken(name, 90)[1])
