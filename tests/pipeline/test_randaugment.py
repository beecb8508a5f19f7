"""RandAugment's draws against timm's definition of rand-m9-mstd0.5."""

import math
import random

import numpy as np
import pytest

from pipeline import randaugment
from pipeline.randaugment import OPERATIONS, PLAIN, SIGNED


def draw(count, *, operations=2, magnitude=9.0, deviation=0.5, seed=1, epoch=0):
    ids = np.arange(count)
    return randaugment.draw(
        count=operations,
        magnitude=magnitude,
        deviation=deviation,
        seed=seed,
        epochs=ids * 0 + epoch,
        ids=ids,
    )


def test_pinned_values():
    drawn = draw(6, epoch=3)
    assert drawn.operations.tolist() == [[0, 7], [7, 8], [0, 3], [13, 3], [9, 0], [4, 7]]
    assert drawn.bins.tolist() == [[99, 94], [94, 86], [86, 94], [87, 89], [98, 96], [94, 84]]
    assert drawn.signs.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0], [1, 0], [1, 1]]


def test_the_operations_are_timms_in_timms_order():
    assert len(OPERATIONS) == len(set(OPERATIONS)) == 15
    assert OPERATIONS[:3] == PLAIN and set(SIGNED) < set(OPERATIONS)


def test_half_of_the_draws_apply_and_every_operation_is_as_frequent():
    drawn = draw(50_000).operations
    assert drawn.shape == (50_000, 2) and drawn.dtype == np.int32
    assert (drawn > 0).mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(100_000))
    shares = np.bincount(drawn.ravel(), minlength=16)[1:] / (drawn > 0).sum()
    assert len(shares) == 15
    assert np.abs(shares - 1 / 15).max() < 5 * math.sqrt(1 / 15 / 50_000)


def test_the_operations_of_an_image_are_independent_of_each_other():
    drawn = draw(100_000).operations
    pairs = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=[np.arange(17)] * 2)[0] / len(drawn)
    share = np.array([0.5] + [0.5 / 15] * 15)
    wanted = share[:, None] * share
    assert (np.abs(pairs - wanted) < 5 * np.sqrt(wanted / len(drawn))).all()


@pytest.mark.parametrize(("magnitude", "deviation"), [(9.0, 0.5), (5.0, 2.0), (0.0, 1.0)])
def test_magnitudes_are_normal_and_cut(magnitude, deviation):
    drawn = draw(50_000, magnitude=magnitude, deviation=deviation)
    found = np.sort(drawn.bins.ravel() / 10)
    chance = random.Random(0)
    wanted = np.sort([min(10, max(0, chance.gauss(magnitude, deviation))) for _ in range(100_000)])
    assert found[0] >= 0 and found[-1] <= 10
    assert np.abs(found[::100] - wanted[::100])[5:-5].max() < 0.05 + 0.05 * deviation
    assert found.mean() == pytest.approx(wanted.mean(), abs=0.01 * max(1, deviation))
    assert found.std() == pytest.approx(wanted.std(), rel=0.02, abs=0.002)
    assert (found == 10).mean() == pytest.approx((wanted > 9.95).mean(), abs=0.004)


def test_a_fixed_magnitude_is_itself():
    assert (draw(1000, magnitude=7.3, deviation=0).bins == 73).all()


def test_signs_are_as_often_as_not_and_follow_nothing():
    drawn = draw(100_000, operations=1)
    assert drawn.signs.mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(100_000))
    for other in (drawn.operations, drawn.bins):
        assert abs(np.corrcoef(drawn.signs[:, 0], other[:, 0])[0, 1]) < 0.02
    assert abs(np.corrcoef(drawn.bins[:, 0], drawn.operations[:, 0])[0, 1]) < 0.02


def test_a_draw_depends_on_seed_epoch_and_image_alone():
    options = {"count": 2, "magnitude": 9.0, "deviation": 0.5, "seed": 3}
    ids = np.array([5, 77, 1234])
    together = randaugment.draw(epochs=np.array([1, 1, 2]), ids=ids, **options)
    alone = randaugment.draw(epochs=np.array([2]), ids=ids[2:], **options)
    longer = randaugment.draw(epochs=np.array([2]), ids=ids[2:], **options | {"count": 3})
    for name in ("operations", "bins", "signs"):
        row = getattr(alone, name)[0].tolist()
        assert getattr(together, name)[2].tolist() == row == getattr(longer, name)[0, :2].tolist()
    for other in (draw(200, seed=2), draw(200, epoch=1)):
        assert (draw(200).operations != other.operations).any(axis=1).mean() > 0.5


def test_operations_read_as_people_say_them():
    drawn = [[0, 1, 4, 5], [90, 90, 87, 91], [1, 1, 1, 1]]
    operations, bins, signs = (np.array([row, row[::-1]], dtype=np.int32) for row in drawn)
    said = randaugment.Draws(operations=operations, bins=bins, signs=signs)
    wanted = ["", "auto-contrast", "rotate -8.7", "posterize 9.1"]
    assert randaugment.describe(said, 0) == wanted == randaugment.describe(said, 1)[::-1]
