import pytest
import torch

from pipeline import sampling
from pipeline.mixing import mixup


def batch(size=8):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 5, 4, 3, generator=generator).permute(0, 3, 1, 2)
    return images, torch.arange(size)


def test_alpha_0_leaves_the_batch_untouched():
    images, labels = batch()
    before = images.clone()
    mixed, labels_b, weight = mixup(images, labels, alpha=0, seed=1, step=2, micro_batch=3)
    assert mixed is images and labels_b is labels
    assert torch.equal(images, before)
    assert weight.tolist() == [1.0] * 8 and weight.dtype == torch.float32


def test_images_and_labels_are_mixed_with_the_drawn_partners_and_weight():
    images, labels = batch()
    before = images.clone()
    mixed, labels_b, weight = mixup(images, labels, alpha=1.0, seed=1, step=2, micro_batch=3)
    partners = sampling.mixup_partners(8, seed=1, step=2, micro_batch=3).tolist()
    share = sampling.mixup_weight(alpha=1.0, seed=1, step=2, micro_batch=3)
    assert 0.01 < share < 0.99
    assert labels_b.tolist() == partners and labels_b.dtype == torch.int64
    assert weight.tolist() == pytest.approx([share] * 8)
    for i, partner in enumerate(partners):
        torch.testing.assert_close(mixed[i], share * before[i] + (1 - share) * before[partner])
    assert torch.equal(images, before)  # a partner must not be mixed before it is used


def test_the_memory_layout_is_kept():
    images, labels = batch()
    assert images.is_contiguous(memory_format=torch.channels_last)
    mixed, *_ = mixup(images, labels, alpha=0.2, seed=1, step=2, micro_batch=3)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 3}, {"micro_batch": 4}])
def test_seed_step_and_micro_batch_decide(other):
    images, labels = batch(32)
    draw = {"alpha": 1.0, "seed": 1, "step": 2, "micro_batch": 3}
    first, again, changed = (mixup(images, labels, **d) for d in (draw, draw, draw | other))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, changed, strict=True))
