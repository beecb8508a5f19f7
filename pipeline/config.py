"""What the input pipeline can be told: plain dataclasses, no torch.

A field's metadata says whether it is part of a run's identity (the default) or an operation setting,
which may change between two attempts at the same run.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

OPERATION = {"operation": True}
"""Field metadata: how the run is carried out, not which run it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How a training image is drawn."""

    image_size: int = 224
    """Pixels of a side of the training crop."""

    start_size: int | None = None
    """That at the start of the run, from where it grows to image-size. None: image-size throughout."""

    size_step: int = 32
    """Pixels by which it grows at a time."""

    full_size_from: float = 0.7
    """Share of the run's steps after which it is image-size; the smaller sizes share those before evenly."""

    scale_min: float = 0.08
    """Smallest share of the image's area that a random crop may have; the largest is 1."""

    flip: float = 0.5
    """Probability of a horizontal flip."""

    rand_ops: int = 0
    """RandAugment's operations per image, each applied with probability 0.5 (https://arxiv.org/abs/1909.13719,
    in the meaning of timm's rand-m9-mstd0.5, which draws 2); 0 is without."""

    rand_magnitude: float = 9.0
    """Mean magnitude of a RandAugment operation, 0 to 10."""

    rand_deviation: float = 0.5
    """Standard deviation of that magnitude."""

    erasing: float = 0.0
    """Probability that a rectangle of an image is replaced by noise (https://arxiv.org/abs/1708.04896)."""

    mixup: float = 0.0
    """Alpha of mixup's Beta distribution (https://arxiv.org/abs/1710.09412); 0 is without mixup."""

    cutmix: float = 0.0
    """Alpha of cutmix's Beta distribution (https://arxiv.org/abs/1905.04899); 0 is without cutmix. With
    mixup too, each micro-batch takes one of them, either with probability 0.5."""

    def __post_init__(self) -> None:
        if self.start_size is not None and not 0 < self.start_size <= self.image_size:
            raise ValueError(
                f"start-size is {self.start_size} pixels, but grows to image-size {self.image_size}: "
                f"--start-size {max(1, self.image_size // 2)}"
            )
        if self.size_step < 1:
            raise ValueError(f"size-step is {self.size_step} pixels, but must be at least 1: --size-step 32")
        if not 0 < self.full_size_from < 1:
            raise ValueError(
                f"full-size-from is {self.full_size_from:g}, but is a share of the run's steps, above 0 and "
                "below 1: --full-size-from 0.7"
            )
        if not 0 < self.scale_min <= 1:
            raise ValueError(
                f"scale-min is {self.scale_min:g}, but is a share of the area: 0 < scale-min <= 1"
            )
        for name in ("flip", "erasing"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}, but is a probability: 0 <= {name} <= 1")
        if self.rand_ops < 0:
            raise ValueError(f"rand-ops is {self.rand_ops}, but is a number of operations: rand-ops >= 0")
        if not 0 <= self.rand_magnitude <= 10:
            raise ValueError(
                f"rand-magnitude is {self.rand_magnitude:g}, but magnitudes go from 0 to 10: timm's is 9"
            )
        if not 0 <= self.rand_deviation < math.inf:
            raise ValueError(
                f"rand-deviation is {self.rand_deviation:g}, but is a standard deviation: rand-deviation >= 0"
            )
        for name in ("mixup", "cutmix"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value:g}, but is the alpha of a Beta distribution: {name} >= 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How an image is shown for evaluation."""

    crop_ratio: float = 0.875
    """Side of the central crop over the shorter side of the resized image."""

    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Filter of that resize, antialiased. Our accuracies and timm's of these networks are of bicubic,
    torchvision's of its own of bilinear."""

    eval_batch: int = 100
    """Images per evaluation batch, the same for every world size: sums of floats depend on it."""

    def __post_init__(self) -> None:
        if not 0 < self.crop_ratio <= 1:
            raise ValueError(f"crop-ratio is {self.crop_ratio:g}, but must be above 0 and at most 1")
        if self.eval_batch < 1:
            raise ValueError(f"the evaluation batch is {self.eval_batch}, but must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Feeding:
    """Where and with how many threads images are read and decoded."""

    decode: Literal["auto", "gpu", "cpu", "measure"] = field(default="auto", metadata=OPERATION)
    """Where JPEGs are decoded; augmentation always runs on the training device. auto: there too, if a trial
    at the run's first start shows that it works. measure: where this run's images are decoded faster."""

    window: Literal["auto", "roi", "crop"] = field(default="auto", metadata=OPERATION)
    """How a training crop is decoded: roi decodes it alone, crop the whole image, of which it is cut out.
    auto: roi, if that trial shows that it works."""

    workers: int = field(default=0, metadata=OPERATION)
    """Decoding threads of each process. 0: one on a CPU, where training needs the other cores; with a GPU,
    this process's share of the cores."""

    ahead: int = field(default=4, metadata=OPERATION)
    """Micro-batches whose files are read ahead of the decoder, rounded up to what it takes at once."""

    max_bad: float = field(default=0.001, metadata=OPERATION)
    """Share of the training images that may prove bad before the run stops; above 0, one always may."""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.ahead < 1:
            raise ValueError(
                f"workers is {self.workers} and ahead is {self.ahead}, but they must be >= 0 and >= 1"
            )
        if not 0 <= self.max_bad <= 1:
            raise ValueError(f"max-bad is {self.max_bad:g}, but is a share of the images: 0 <= max-bad <= 1")
