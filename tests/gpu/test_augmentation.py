"""Augmentation on a GPU: `pytest -m gpu`."""

from pathlib import Path

import pytest
import torch

from pipeline import synthetic
from pipeline.config import Augmentation, Feeding
from pipeline.index import open_splits
from pipeline.loader import Share, train_batches

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("augmentation", [Augmentation(rand_ops=2), Augmentation(erasing=0.5, cutmix=1.0)])
def test_the_gpu_augments_as_the_cpu_does(augmentation: Augmentation, tmp_path: Path) -> None:
    """Decoded on the CPU for both: then operations differ in rounding alone, noise and boxes in nothing."""
    train, _ = open_splits(
        synthetic.make(tmp_path / "set", classes=4, train=128, val=8), say=lambda line: None
    )

    def images(device: torch.device) -> torch.Tensor:
        batches = train_batches(
            train,
            augmentation=augmentation,
            feeding=Feeding(decode="cpu"),
            seed=0,
            share=Share(batch=64, micro_batch=32, rank=0, world_size=1),
            device=device,
            image_size=lambda step: (96, 64)[step],
            from_step=0,
            to_step=2,
        )
        return torch.cat([batch.images.cpu().flatten() for batch in batches])

    theirs, ours = images(torch.device("cpu")), images(torch.device("cuda", 0))
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().mean()) < 0.03
    assert images(torch.device("cuda", 0)).equal(ours)
