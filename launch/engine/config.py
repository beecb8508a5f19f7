"""What the engine can be told: plain dataclasses, no torch.

A field whose metadata says `operation` is how a run is carried out; all others are part of its identity.
"""

from dataclasses import dataclass, field
from typing import Literal

OPERATION = {"operation": True}
"""Field metadata: may change between two attempts at the same run."""

ADDED = {"added": True}
"""Field metadata: came later; at its default it is no part of the identity, which earlier runs so keep."""

Precision = Literal["auto", "fp16", "bf16", "fp32"]

OptimizerName = Literal["sgd", "adamw", "lamb"]

Backend = Literal["torch", "apex"]

LayoutName = Literal["auto", "channels-last", "channels-last-8", "contiguous", "contiguous-8"]
"""Memory format of images and weights; -8 with channel counts rounded up to multiples of 8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Optim:
    """The optimizer, and the learning rate's course."""

    optimizer: OptimizerName = "sgd"
    """sgd; adamw (https://arxiv.org/abs/1711.05101); lamb (https://arxiv.org/abs/1904.00962), which needs
    --backend apex."""

    backend: Backend = field(default="torch", metadata=OPERATION)
    """Whose fused kernels: torch's, or NVIDIA apex's FusedSGD and FusedLAMB, built with CUDA extensions."""

    schedule: Literal["cosine", "step"] = "cosine"
    """After the warmup: cosine to 0, or a tenth at one third of the run and again at two thirds."""

    lr: float = 1.0
    """Peak learning rate, for the whole batch as given; nothing rescales it."""

    momentum: float = 0.9
    """Momentum of sgd; of adamw and lamb the first beta."""

    nesterov: bool = True
    """Nesterov's momentum instead of the heavy ball's; of sgd."""

    beta2: float = 0.999
    """Second beta, of adamw and lamb."""

    weight_decay: float = 2e-5
    """Weight decay, of what --decay-on says."""

    decay_on: Literal["weights", "all"] = "weights"
    """weights: convolutions and the classifier's matrix; all: norms and biases, too."""

    warmup: float = 5.0
    """Epochs in which the learning rate rises in a line to its peak."""

    label_smoothing: float = 0.1
    """Share of the target spread over all classes (https://arxiv.org/abs/1512.00567)."""

    clip: float = 0.0
    """Largest norm of the whole gradient; 0 is without clipping."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr is {self.lr:g}, but must be positive")
        for name in ("momentum", "beta2"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value:g}, but must be at least 0 and below 1")
        if self.weight_decay < 0 or self.warmup < 0 or self.clip < 0:
            raise ValueError("weight-decay, warmup and clip must not be negative")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label-smoothing is {self.label_smoothing:g}, but must be in [0, 1)")
        if self.optimizer == "lamb" and self.backend == "torch":
            raise ValueError("torch has no lamb; NVIDIA's apex has: --optimizer lamb --backend apex")
        if self.optimizer == "adamw" and self.backend == "apex":
            raise ValueError("adamw is taken from torch, whose own is fused: leave out --backend apex")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ema:
    """The exponential moving average of the weights."""

    half_life: float = 0.5
    """Epochs after which an old weight counts half; 0 is without: the last weights are the result."""

    def __post_init__(self) -> None:
        if self.half_life < 0:
            raise ValueError(f"half-life is {self.half_life:g} epochs, but must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Numerics:
    """How the arithmetic is done."""

    precision: Precision = "auto"
    """auto: fp16 on V100 and T4 (sm_70 to sm_75), bf16 from sm_80 on, fp32 on CPU."""

    scale: float = 65536.0
    """First loss scale of fp16; the other precisions scale by 1."""

    layout: LayoutName = field(default="auto", metadata=OPERATION)
    """How tensors lie in memory; the network computes the same function in all. auto: what is fastest here,
    timed at a run's first start and kept."""

    compile: bool = field(default=False, metadata=OPERATION)
    """Compile the training passes with torch.compile, if that proves right and faster when the run starts;
    else say why, and take the plain ones. Another order of sums, no other run."""

    deterministic: bool = field(default=False, metadata=OPERATION)
    """On a GPU, let a resumed run be bit-identical to an uninterrupted one, at some speed. Another order of
    sums, no other run; on a CPU it is always so."""

    max_skipped: int = field(default=50, metadata=OPERATION)
    """Optimizer steps in a row that may be skipped because a value is not finite; at the next line of metrics
    the run then stops. fp16 skips up to about 20 at its start, until its scale fits."""

    def __post_init__(self) -> None:
        if self.max_skipped < 1:
            raise ValueError(f"max-skipped is {self.max_skipped}, but must be at least 1: --max-skipped 50")


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """What is written down, and when."""

    log_every: int = field(default=50, metadata=OPERATION)
    """Steps between two lines of metrics; the loop waits for the device only there."""

    checkpoint_minutes: float = field(default=10.0, metadata=OPERATION)
    """Minutes after which the next line of metrics comes with a checkpoint; every epoch's end does too."""

    timeout: float = field(default=10.0, metadata=OPERATION)
    """Minutes that processes wait for one that has stopped; then the run ends and says which. For its data
    one may wait 0.8 of that."""

    track_images: bool = field(default=False, metadata=OPERATION)
    """Draw the first training images, as augmentation makes them, to images.png and W&B."""

    def __post_init__(self) -> None:
        if self.log_every < 1 or self.checkpoint_minutes < 0:
            raise ValueError("log-every must be at least 1 and checkpoint-minutes not negative")
        if self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout:g} minutes, but must be positive: --timeout 10")
