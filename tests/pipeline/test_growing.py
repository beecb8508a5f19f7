"""The image size as a function of the step."""

import pytest

from pipeline.config import Augmentation
from pipeline.growing import image_size, image_sizes, shares

GROWING = Augmentation(start_size=128, image_size=224, size_step=32, full_size_from=0.75)


def test_without_a_start_it_never_changes() -> None:
    fixed = Augmentation(image_size=64)
    assert image_sizes(fixed) == [64]
    assert {image_size(fixed, step=step, steps=50) for step in range(50)} == {64}
    assert list(shares(fixed)) == [(64, 1.0)]


@pytest.mark.parametrize("steps", [7, 100, 1001])
def test_it_grows_by_steps_and_ends_at_full_size(steps: int) -> None:
    sizes = [image_size(GROWING, step=step, steps=steps) for step in range(steps)]
    assert sizes == sorted(sizes) and sizes[0] == 128
    assert sizes.count(224) == pytest.approx(steps * 0.25, abs=1)
    for size in (128, 160, 192):
        assert sizes.count(size) == pytest.approx(steps * 0.25, abs=1)


def test_shares_are_those_of_a_long_run() -> None:
    steps = 12000
    sizes = [image_size(GROWING, step=step, steps=steps) for step in range(steps)]
    for size, share in shares(GROWING):
        assert sizes.count(size) / steps == pytest.approx(share)


def test_the_last_step_up_may_be_smaller() -> None:
    assert image_sizes(Augmentation(start_size=40, image_size=60, size_step=16)) == [40, 56, 60]


@pytest.mark.parametrize("steps", range(1, 9))
def test_the_last_step_is_at_full_size_however_short_the_run(steps: int) -> None:
    assert image_size(GROWING, step=steps - 1, steps=steps) == 224


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"start_size": 256}, "start-size is 256 pixels, but grows to image-size 224"),
        ({"start_size": 128, "size_step": 0}, "size-step is 0"),
        ({"full_size_from": 1.0}, "full-size-from is 1, but is a share"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, float], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        Augmentation(**settings)  # type: ignore[arg-type]
