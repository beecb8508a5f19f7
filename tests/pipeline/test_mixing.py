"""Mixup and cutmix: what is drawn, and what becomes of images and labels."""

import math

import numpy as np
import pytest
import torch

from pipeline import pairing
from pipeline.mixing import mix

DRAW = {"seed": 1, "step": 2, "micro_batch": 3}
MIXUP = DRAW | {"mixup": 1.0, "cutmix": 0.0}
CUTMIX = DRAW | {"mixup": 0.0, "cutmix": 1.0}


def batch(size=8):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 20, 20, 3, generator=generator).permute(0, 3, 1, 2)
    return images, torch.arange(size)


def boxes(count, *, alpha=1.0, image_size=224):
    return np.array(
        [
            pairing.cutmix_box(alpha=alpha, image_size=image_size, seed=1, step=s // 4, micro_batch=s % 4)
            for s in range(count)
        ]
    )


def test_alpha_0_leaves_the_batch_untouched():
    images, labels = batch()
    before = images.clone()
    mixed, labels_b, weight = mix(images, labels, **DRAW, mixup=0, cutmix=0)
    assert mixed is images and labels_b is labels
    assert torch.equal(images, before)
    assert weight.tolist() == [1.0] * 8 and weight.dtype == torch.float32


def test_mixup_mixes_with_the_drawn_partners_and_weight():
    images, labels = batch()
    mixed, labels_b, weight = mix(images.clone(), labels, **MIXUP)
    partners = pairing.partners(8, **DRAW).tolist()
    share = pairing.mixup_weight(alpha=1.0, **DRAW)
    assert 0.01 < share < 0.99
    assert labels_b.tolist() == partners and labels_b.dtype == torch.int64
    assert weight.tolist() == pytest.approx([share] * 8)
    for i, partner in enumerate(partners):
        torch.testing.assert_close(mixed[i], share * images[i] + (1 - share) * images[partner])


def test_cutmix_takes_its_box_from_the_drawn_partners_and_weighs_by_what_is_left():
    images, labels = batch()
    mixed, labels_b, weight = mix(images.clone(), labels, **CUTMIX)
    partners = pairing.partners(8, **DRAW)
    top, left, bottom, right = pairing.cutmix_box(alpha=1.0, image_size=20, **DRAW)
    inside = torch.zeros(20, 20, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    assert 10 < inside.sum() < 390
    assert torch.equal(mixed, torch.where(inside, images[torch.from_numpy(partners)], images))
    assert labels_b.tolist() == partners.tolist() and labels_b.dtype == torch.int64
    assert weight.tolist() == pytest.approx([1 - inside.float().mean().item()] * 8)


@pytest.mark.parametrize("kind", [MIXUP, CUTMIX])
def test_the_memory_layout_is_kept(kind):
    images, labels = batch()
    assert images.is_contiguous(memory_format=torch.channels_last)
    mixed, *_ = mix(images, labels, **kind)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", [MIXUP, CUTMIX])
@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 4}, {"micro_batch": 1}])
def test_seed_step_and_micro_batch_decide(kind, other):
    images, labels = batch(32)
    first, again, changed = (mix(images.clone(), labels, **d) for d in (kind, kind, kind | other))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, changed, strict=True))


def test_with_both_half_of_the_micro_batches_are_cut():
    drawn = [
        pairing.pair(4, mixup=0.4, cutmix=1.0, image_size=64, seed=1, step=s, micro_batch=0)
        for s in range(4000)
    ]
    cut = np.array([d.box is not None for d in drawn])
    assert cut.mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4000))
    for step in np.flatnonzero(cut)[:50].tolist():  # a box is that of cutmix alone, a weight that of mixup
        draw = {"seed": 1, "step": step, "micro_batch": 0}
        alone = pairing.pair(4, mixup=0.0, cutmix=1.0, image_size=64, **draw)
        assert drawn[step].box == alone.box and drawn[step].weight == alone.weight
    for step in np.flatnonzero(~cut)[:50].tolist():
        assert drawn[step].weight == pairing.mixup_weight(alpha=0.4, seed=1, step=step, micro_batch=0)


def test_pinned_boxes():
    draw = {"alpha": 1.0, "image_size": 224, "seed": 1, "micro_batch": 0}
    assert [pairing.cutmix_box(step=s, **draw) for s in range(3)] == [
        (132, 0, 224, 110),
        (44, 0, 200, 140),
        (160, 183, 208, 224),
    ]


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_boxes_follow_the_published_rule(alpha):
    """Their sides, cut at the edges, against the rule with independent random numbers."""
    chance = np.random.default_rng(5)
    count, size = 10_000, 224
    cut = (size * np.sqrt(1 - chance.beta(alpha, alpha, 40_000))).astype(int)
    y, x = chance.integers(0, size, (2, 40_000))
    published = np.stack(
        [np.clip(v, 0, size) for v in (y - cut // 2, x - cut // 2, y + cut // 2, x + cut // 2)], axis=1
    )
    ours = boxes(count, alpha=alpha)
    assert ours.min() >= 0 and ours.max() <= size and (ours[:, 2:] >= ours[:, :2]).all()

    def measures(box):
        top, left, bottom, right = box.T
        return (bottom - top) * (right - left) / size**2, (top + bottom) / 2, (left + right) / 2

    for got, wanted in zip(measures(ours), measures(published), strict=True):
        quantiles = np.arange(0.05, 1, 0.05)
        spread = wanted.max() - wanted.min()
        assert np.abs(np.quantile(got, quantiles) - np.quantile(wanted, quantiles)).max() < 0.03 * spread
        assert got.mean() == pytest.approx(wanted.mean(), abs=0.01 * spread)
