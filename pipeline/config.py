"""What the input pipeline can be told: plain dataclasses, no torch.

A field's metadata says whether it is part of a run's identity (the default) or an operation setting,
which may change between two attempts at the same run.
"""

from dataclasses import dataclass, field
from typing import Literal

OPERATION = {"operation": True}
"""Field metadata: how the run is carried out, not which run it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How a training image is drawn."""

    image_size: int = 224
    """Pixels of a side of the training crop, and of the evaluation crop."""

    scale_min: float = 0.08
    """Smallest share of the image's area that a random crop may have; the largest is 1."""

    flip: float = 0.5
    """Probability of a horizontal flip."""

    mixup: float = 0.0
    """Alpha of mixup's Beta distribution (https://arxiv.org/abs/1710.09412); 0 is without mixup."""

    def __post_init__(self) -> None:
        if not 0 < self.scale_min <= 1:
            raise ValueError(
                f"scale-min is {self.scale_min:g}, but is a share of the area: 0 < scale-min <= 1"
            )
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is {self.flip:g}, but is a probability: 0 <= flip <= 1")
        if self.mixup < 0:
            raise ValueError(f"mixup is {self.mixup:g}, but is the alpha of a Beta distribution: mixup >= 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How an image is shown for evaluation."""

    crop_ratio: float = 0.875
    """Side of the central crop over the shorter side of the resized image."""

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

    decode: Literal["auto", "gpu", "cpu"] = field(default="auto", metadata=OPERATION)
    """Where JPEGs are decoded; augmentation always runs on the training device. auto: there too."""

    workers: int = field(default=0, metadata=OPERATION)
    """Decoding threads of each process; 0 shares the cores that the process may use."""

    ahead: int = field(default=4, metadata=OPERATION)
    """Micro-batches whose files are read ahead of the decoder."""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.ahead < 1:
            raise ValueError(
                f"workers is {self.workers} and ahead is {self.ahead}, but they must be >= 0 and >= 1"
            )
