import math
import random
from itertools import permutations

import numpy as np
import pytest

from pipeline import order, pairing, sampling
from pipeline.hashing import draw_seed, hash64, uniforms


def deciles(values):
    return np.quantile(values, np.arange(0.1, 1, 0.1))


def test_hash_of_one_word_is_splitmix64_from_seed_0():
    # the first outputs of the reference implementation, https://prng.di.unimi.it/splitmix64.c, for seed 0
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hash64(np.arange(3)).tolist() == published


def test_pinned_values():
    assert hash64(1, 2, 3) == 0x27D1DADE99DDF6A4
    assert uniforms(7, np.array([0, 1]), 5).tolist() == [0.5270931350024932, 0.2855532834334168]
    assert order.at(np.array([0, 1, 102, 103, 10**12]), seed=5, count=103)[1].tolist() == [63, 59, 49, 6, 37]
    assert draw_seed(seed=1, step=2, micro_batch=3) == 3393425290103416898
    assert pairing.mixup_weight(alpha=0.2, seed=1, step=2, micro_batch=3) == pytest.approx(
        0.6507289788791373, rel=1e-12
    )
    assert pairing.partners(6, seed=1, step=2, micro_batch=3).tolist() == [3, 1, 4, 0, 2, 5]
    ids = np.array([0, 1, 9])
    drawn = sampling.draw(
        seed=3, epochs=ids * 0, ids=ids, heights=ids * 0 + 400, widths=ids * 0 + 500, scale_min=0.08, flip=0.5
    )
    assert drawn.starts.tolist() == [[99, 166], [20, 111], [76, 178]]
    assert drawn.shapes.tolist() == [[182, 207], [331, 352], [127, 149]]
    assert drawn.flips.tolist() == [True, True, False]


def test_hash_broadcasts_and_tells_words_apart():
    grid = hash64(np.arange(50)[:, None], np.arange(60))
    assert grid.shape == (50, 60)
    assert grid[7, 9] == hash64(7, 9) != hash64(9, 7)
    assert len(np.unique(grid)) == 3000
    assert hash64(-1) == hash64(2**64 - 1) == hash64(np.array(-1))


def test_every_output_bit_is_balanced_and_follows_every_input_bit():
    inputs = np.arange(4000)
    base = hash64(3, inputs)
    for bit in (0, 1, 31, 62):
        changed = np.unpackbits((base ^ hash64(3, inputs ^ (1 << bit))).view(np.uint8).reshape(-1, 8), axis=1)
        assert np.abs(changed.mean(axis=0) - 0.5).max() < 0.04  # five standard deviations


def test_uniforms_are_uniform_and_uncorrelated():
    u = uniforms(1, 2, np.arange(20000)[:, None], np.arange(4))
    assert u.min() >= 0 and u.max() < 1
    assert np.abs(deciles(u) - np.arange(0.1, 1, 0.1)).max() < 0.01
    assert np.abs(np.corrcoef(u.T) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(u[1:, 0], u[:-1, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10, 103, 1000, 50000])
def test_an_epoch_is_a_bijection(count):
    for first in (0, 3 * count):
        epochs, ids = order.at(np.arange(first, first + count), seed=1, count=count)
        assert (epochs == first // count).all()
        assert sorted(ids.tolist()) == list(range(count))


def test_a_stream_of_a_million_images_has_no_repeats():
    count = 1281167
    ids = np.concatenate(
        [order.at(np.arange(i, i + 1024), seed=0, count=count)[1] for i in range(0, 102400, 1024)]
    )
    assert len(np.unique(ids)) == 102400
    assert ids.min() >= 0 and ids.max() < count
    assert np.abs(deciles(ids / count) - np.arange(0.1, 1, 0.1)).max() < 0.01
    assert abs(np.corrcoef(ids[1:], ids[:-1])[0, 1]) < 0.02


def test_batches_may_straddle_epochs():
    epochs, ids = order.at(np.arange(95, 110), seed=4, count=100)
    assert epochs.tolist() == [0] * 5 + [1] * 10
    assert ids[:5].tolist() == order.at(np.arange(100), seed=4, count=100)[1][95:].tolist()
    assert ids[5:].tolist() == order.at(np.arange(100, 200), seed=4, count=100)[1][:10].tolist()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_order_of_a_few_images_is_as_frequent(count):
    epochs = 6000
    ids = order.at(np.arange(epochs * count), seed=9, count=count)[1].reshape(epochs, count)
    frequencies = [(ids == p).all(axis=1).mean() for p in permutations(range(count))]
    share = 1 / math.factorial(count)
    assert np.abs(np.array(frequencies) - share).max() < 5 * math.sqrt(share / epochs)


def test_orders_differ_between_epochs_and_seeds():
    a, b = order.at(np.arange(2000), seed=1, count=1000)[1].reshape(2, 1000)
    c = order.at(np.arange(1000), seed=2, count=1000)[1]
    assert (a == b).mean() < 0.01 and (a == c).mean() < 0.01
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.15 and abs(np.corrcoef(a, c)[0, 1]) < 0.15


def published_crop(u, *, height, width, scale_min):
    """RandomResizedCrop, image by image; `u` gives (area, aspect, y, x) of an attempt."""
    for area_u, aspect_u, y_u, x_u in u:
        area = height * width * (scale_min + area_u * (1 - scale_min))
        aspect = math.exp(math.log(3 / 4) + aspect_u * (math.log(4 / 3) - math.log(3 / 4)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return math.floor(y_u * (height - h + 1)), math.floor(x_u * (width - w + 1)), h, w
    ratio, w, h = width / height, width, height
    if ratio < 3 / 4:
        h = round(w / (3 / 4))
    elif ratio > 4 / 3:
        w = round(h * (4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def test_crops_are_those_of_the_published_rule():
    chance = random.Random(0)
    sizes = [(chance.randint(1, 600), chance.randint(1, 600)) for _ in range(3000)]
    sizes += [(1, 1), (1, 900), (900, 1), (3, 400), (2, 3), (60, 600), (600, 60)]
    heights, widths = np.array(sizes).T
    u = uniforms(8, np.arange(len(sizes))[:, None, None], np.arange(10)[:, None], np.arange(4))
    starts, shapes = sampling.crop_windows(u, heights=heights, widths=widths, scale_min=0.08)
    expected = [published_crop(u[i], height=h, width=w, scale_min=0.08) for i, (h, w) in enumerate(sizes)]
    assert np.concatenate([starts, shapes], axis=1).tolist() == [list(row) for row in expected]
    assert starts.dtype == shapes.dtype == np.int32
    assert (starts >= 0).all() and (shapes > 0).all()
    assert (starts + shapes <= np.array(sizes)).all()


def test_without_a_fitting_attempt_the_centre_is_taken():
    u = np.full((2, 10, 4), 0.999999)  # the whole area at aspect 4/3
    starts, shapes = sampling.crop_windows(
        u, heights=np.array([300, 90]), widths=np.array([90, 300]), scale_min=0.08
    )
    assert shapes.tolist() == [[120, 90], [90, 120]]
    assert starts.tolist() == [[90, 0], [0, 90]]


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (32, 32), (100, 400)])
def test_crops_are_distributed_as_with_independent_random_numbers(height, width):
    chance, count = random.Random(1), 6000
    expected = np.array(
        [
            published_crop(
                ([chance.random() for _ in range(4)] for _ in range(10)),
                height=height,
                width=width,
                scale_min=0.08,
            )
            for _ in range(count)
        ]
    )
    ids = np.arange(count)
    drawn = sampling.draw(
        seed=1,
        epochs=ids * 0 + 2,
        ids=ids,
        heights=ids * 0 + height,
        widths=ids * 0 + width,
        scale_min=0.08,
        flip=0.5,
    )
    ours = np.concatenate([drawn.starts, drawn.shapes], axis=1)

    def measures(rows):
        y, x, h, w = rows.T
        return h * w / (height * width), np.log(w / h), (y + h / 2) / height, (x + w / 2) / width

    for got, wanted in zip(measures(ours), measures(expected), strict=True):
        assert np.abs(deciles(got) - deciles(wanted)).max() < 0.05 * max(1e-9, wanted.max() - wanted.min())


def test_a_draw_does_not_depend_on_the_batch_around_it():
    ids = np.array([5, 77, 1234])
    arguments = {"seed": 3, "scale_min": 0.1, "flip": 0.5}
    sizes = np.array([120, 400, 97])
    together = sampling.draw(
        epochs=np.array([1, 1, 2]), ids=ids, heights=sizes, widths=sizes[::-1], **arguments
    )
    alone = sampling.draw(
        epochs=np.array([2]), ids=ids[2:], heights=sizes[2:], widths=sizes[::-1][2:], **arguments
    )
    assert together.starts[2].tolist() == alone.starts[0].tolist()
    assert together.shapes[2].tolist() == alone.shapes[0].tolist()
    assert together.flips[2] == alone.flips[0]


@pytest.mark.parametrize("flip", [0.0, 0.25, 0.5, 1.0])
def test_flips_come_as_often_as_asked_for(flip):
    ids = np.arange(10000)
    drawn = sampling.draw(
        seed=1, epochs=ids * 0, ids=ids, heights=ids * 0 + 9, widths=ids * 0 + 9, scale_min=0.5, flip=flip
    )
    assert abs(drawn.flips.mean() - flip) < (0.025 if 0 < flip < 1 else 1e-9)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 1.0, 1.5, 4.0, 32.0])
def test_mixup_weights_follow_their_beta_distribution(alpha):
    count = 4000
    drawn = np.array(
        [pairing.mixup_weight(alpha=alpha, seed=1, step=s // 4, micro_batch=s % 4) for s in range(count)]
    )
    assert drawn.min() >= 0 and drawn.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert drawn.mean() == pytest.approx(0.5, abs=5 * math.sqrt(variance / count))
    assert drawn.var() == pytest.approx(variance, rel=0.1)
    chance = random.Random(2)
    wanted = np.sort([chance.betavariate(alpha, alpha) for _ in range(20000)])
    at = np.searchsorted(wanted, np.sort(drawn)) / len(wanted)
    assert np.abs(at - (np.arange(count) + 0.5) / count).max() < 0.04  # Kolmogorov-Smirnov


def test_a_tiny_alpha_draws_the_ends():
    drawn = {pairing.mixup_weight(alpha=1e-6, seed=0, step=s, micro_batch=0) for s in range(50)}
    assert drawn == {0.0, 1.0}


def test_mixup_partners_are_a_permutation_of_their_own_micro_batch():
    drawn = np.stack([pairing.partners(64, seed=1, step=s, micro_batch=2) for s in range(300)])
    assert (np.sort(drawn, axis=1) == np.arange(64)).all()
    assert len(np.unique(drawn, axis=0)) == 300
    assert (drawn == np.arange(64)).sum(axis=1).mean() == pytest.approx(1, abs=0.3)  # fixed points
    other = pairing.partners(64, seed=1, step=0, micro_batch=3)
    assert (drawn[0] != other).any()


def test_draw_seed_is_a_63_bit_number_of_its_own():
    drawn = {draw_seed(seed=s, step=t, micro_batch=m) for s in range(5) for t in range(20) for m in range(20)}
    assert len(drawn) == 2000
    assert min(drawn) >= 0 and 2**62 < max(drawn) < 2**63


@pytest.mark.parametrize(("image_size", "crop_ratio"), [(224, 0.875), (224, 0.95), (64, 1.0), (288, 1.0)])
def test_central_windows_are_resize_then_centre_crop(image_size, crop_ratio):
    chance = random.Random(3)
    sizes = [(chance.randint(1, 700), chance.randint(1, 700)) for _ in range(500)] + [(32, 32), (375, 500)]
    heights, widths = np.array(sizes).T
    starts, ends = sampling.central_windows(
        heights=heights, widths=widths, image_size=image_size, crop_ratio=crop_ratio
    )
    for i, (h, w) in enumerate(sizes):
        shorter = math.floor(image_size / crop_ratio)
        new = (shorter, int(shorter * w / h)) if h <= w else (int(shorter * h / w), shorter)
        for axis, side in enumerate((h, w)):
            first = round((new[axis] - image_size) / 2)
            assert starts[i, axis] == pytest.approx(first * side / new[axis], abs=1e-3)
            assert ends[i, axis] == pytest.approx((first + image_size) * side / new[axis], abs=1e-3)
    assert (starts >= 0).all()
    assert (ends <= np.array(sizes) + 1e-3).all()
