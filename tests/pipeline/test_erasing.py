"""Random erasing, against timm's definition and number by number."""

import math
import random

import numpy as np
import pytest
import torch

from pipeline import erasing

CPU = torch.device("cpu")
PINNED = [[2, 41, 48, 22, 64, 737395], [5, 112, 153, 102, 61, 51778], [10, 191, 47, 33, 99, 786636]]


def draw(count, *, probability=1.0, epoch=0, image_size=224, seed=1):
    ids = np.arange(count)
    return erasing.boxes(
        probability=probability, seed=seed, epochs=ids * 0 + epoch, ids=ids, image_size=image_size
    )


def published(chance, size):
    """One rectangle as timm's RandomErasing draws it."""
    for _ in range(10):
        area = chance.uniform(0.02, 1 / 3) * size * size
        aspect = math.exp(chance.uniform(math.log(0.3), math.log(1 / 0.3)))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if w < size and h < size:
            return chance.randint(0, size - h), chance.randint(0, size - w), h, w
    return None


def test_pinned_values():
    assert draw(12, probability=0.25, epoch=3).tolist() == PINNED
    table = erasing.noise(CPU)
    assert table[:2].tolist() == pytest.approx([-0.4774565, -1.4795949], rel=1e-6)
    assert table[-1].item() == pytest.approx(-0.7908518, rel=1e-6)


@pytest.mark.parametrize("size", [224, 32])
def test_rectangles_are_distributed_as_published(size):
    chance = random.Random(0)
    wanted = np.array([box for box in (published(chance, size) for _ in range(20_000)) if box])
    found = draw(20_000, image_size=size)[:, 1:5]
    assert len(found) == pytest.approx(len(wanted), abs=20)

    def measures(boxes):
        top, left, h, w = boxes.T
        return h * w / size**2, np.log(h / w), (top + h / 2) / size, (left + w / 2) / size, h, w

    for ours, theirs in zip(measures(found), measures(wanted), strict=True):
        quantiles = np.arange(0.05, 1, 0.05)
        spread = theirs.max() - theirs.min()
        assert np.abs(np.quantile(ours, quantiles) - np.quantile(theirs, quantiles)).max() < 0.04 * spread
        assert ours.mean() == pytest.approx(theirs.mean(), abs=5 * theirs.std() * math.sqrt(2 / 20_000))
    assert measures(found)[0].min() > 0.85 * 0.02 and measures(found)[0].max() < 1.1 / 3
    assert (found[:, :2] >= 0).all() and (found[:, 2:] > 0).all()
    assert (found[:, :2] + found[:, 2:] <= size).all()


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_as_many_images_are_erased_as_asked_for(probability):
    rows = draw(20_000, probability=probability)[:, 0]
    assert len(np.unique(rows)) == len(rows)
    assert len(rows) / 20_000 == pytest.approx(probability, abs=0.015)


def test_a_rectangle_depends_on_seed_epoch_and_image_alone():
    ids = np.array([5, 77, 1234])
    options = {"probability": 1.0, "seed": 3, "image_size": 64}
    together = erasing.boxes(epochs=np.array([1, 1, 2]), ids=ids, **options)
    alone = erasing.boxes(epochs=np.array([2]), ids=ids[2:], **options)
    assert together[2, 1:].tolist() == alone[0, 1:].tolist()
    for other in (draw(50, seed=2), draw(50, epoch=1)):
        assert (draw(50)[:, 1:] != other[:, 1:]).any(axis=1).all()


def test_the_noise_is_standard_normal():
    table = erasing.noise(CPU)
    assert table.shape == (erasing.NOISE,) and table.dtype == torch.float32
    values = np.sort(table.numpy().astype(float))
    assert values.mean() == pytest.approx(0, abs=5e-3) and values.std() == pytest.approx(1, abs=5e-3)
    wanted = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in values[::500]])
    assert np.abs(wanted - np.arange(0, len(values), 500) / len(values)).max() < 3e-3
    assert abs(np.corrcoef(table[1:], table[:-1])[0, 1]) < 5e-3


def test_the_noise_of_an_image_is_its_own_window_of_the_table():
    table = erasing.noise(CPU)
    images = torch.full((4, 9, 12, 3), 7.0).permute(0, 3, 1, 2)
    rows = np.array([[1, 2, 3, 4, 5, 1000], [3, 0, 0, 2, 2, erasing.NOISE - 5]])
    erasing.erase(images, rows, table=table)
    assert (images[[0, 2]] == 7).all()
    assert torch.equal(images[1, :, 2:6, 3:8].permute(1, 2, 0).flatten(), table[1000:1060])
    behind = torch.cat([table[-5:], table[:7]])  # the table goes on from its start
    assert torch.equal(images[3, :, :2, :2].permute(1, 2, 0).flatten(), behind)
    assert (images[1] != 7).sum() == 60 and (images[3] != 7).sum() == 12
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_rectangle_larger_than_the_table_repeats_it():
    table = torch.arange(10.0)
    images = torch.zeros(1, 3, 8, 8)
    erasing.erase(images, np.array([[0, 1, 1, 6, 6, 4]]), table=table)
    assert images[0, :, 1:7, 1:7].permute(1, 2, 0).flatten().tolist() == [(4 + i) % 10 for i in range(108)]
