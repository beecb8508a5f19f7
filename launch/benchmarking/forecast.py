"""A run on V100s, on paper: images/s, hours, requeues, and which resource is the limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from launch.config import Run
from launch.plan import Plan
from launch.timing import v100
from launch.timing.work import StepWork, count_work
from pipeline.growing import shares
from rexnet.model import create_model

_ALIGN = 8  # what training takes in half precision
_BUCKET = (
    4 * 2**20
)  # bytes of gradients that are sent together; the last ones cannot hide behind a backward pass
_LINE = 0.8  # share of a network card's rate that is reached
_ENCODED = 115e3  # bytes of an ImageNet file: 147.9 GB in 1 281 167 (ILSVRC2012_img_train.tar)
_STARTING = 120.0  # seconds that an attempt takes to begin and to save at its end


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What the run runs on.

    Attributes:
        network: Gb/s of a node's card.
        cores: CPU cores per GPU.
        attempt: seconds until the cluster ends a job; None is never.
    """

    network: float = 25.0
    cores: float = 5.0
    attempt: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Seconds are of one optimizer step, rates are images/s of all GPUs.

    Attributes:
        host_bound: the host, not the device, takes `computing`.
        exchanging: the all-reduce, of which `waiting` does not hide behind a backward pass.
        decoding: images/s that the CPU cores feed.
        storage: bytes/s to be read.
        total: seconds of the whole run with its evaluations, without waiting in the queue.
        requeues: how often an attempt's time ends before the run does.
    """

    computing: float
    host_bound: bool
    exchanging: float
    waiting: float
    decoding: float
    rate: float
    epoch: float
    storage: float
    total: float
    requeues: int

    @property
    def limit(self) -> str:
        """The resource to have more of."""
        if self.decoding <= self.rate * 1.001:
            return (
                "decoding on the CPU cores: more cores, launch/pack.py --short-side 320, or the GPU's "
                "decoder, which this plan leaves out"
            )
        if self.waiting > self.computing / 3:
            return "the network between the nodes"
        if self.host_bound:
            return "the host, which starts operators one by one: a larger --micro-batch, which is another run"
        return "the GPU's memory bandwidth, as with all networks of depthwise convolutions"


def forecast(run: Run, plan: Plan, site: Site, *, images: int, val_images: int, classes: int) -> Forecast:
    """Returns what the run takes on V100s in fp16 with channels rounded up to 8; see `launch.timing.v100`."""
    make = partial(create_model, run.variant, num_classes=classes, align=_ALIGN)
    sizes = list(shares(run.augmentation))
    steps = [count_work(make, image_size=size) for size, _ in sizes]
    step = steps[-1]
    shape = {"images": plan.micro_batch, "precision": "fp16"}
    computing = sum(
        share * v100.step_seconds(each, accumulation=plan.accumulation, **shape)
        for each, (_, share) in zip(steps, sizes, strict=True)
    )
    exchanging = exchange_seconds(step, nodes=plan.nodes, network=site.network)
    hidden = 2 / 3 * v100.device_seconds(step.of(plan.micro_batch), precision="fp16")
    last = exchanging * min(1.0, _BUCKET / (4 * step.parameters))
    waiting = max(last, exchanging - hidden)
    decoding = v100.DECODING * site.cores * plan.ranks
    rate = min(plan.batch / (computing + waiting), decoding)
    epoch = images / rate
    scoring = max(
        val_images * v100.device_seconds(step.forward, precision="fp32") / plan.ranks, val_images / decoding
    )
    total = run.epochs * epoch + math.ceil(run.epochs) * scoring
    return Forecast(
        computing=computing,
        host_bound=v100.host_bound(step, **shape),
        exchanging=exchanging,
        waiting=waiting,
        decoding=decoding,
        rate=rate,
        epoch=epoch,
        storage=rate * _ENCODED,
        total=total,
        requeues=requeues(total, attempt=site.attempt),
    )


def exchange_seconds(step: StepWork, *, nodes: int, network: float) -> float:
    """Returns the seconds of the all-reduce of the gradients between nodes.

    In a ring every node sends 2 (n - 1) / n of them; within a node, NVLink is not the limit.
    """
    return 2 * (nodes - 1) / nodes * 4 * step.parameters / (network * 1e9 / 8 * _LINE)


def requeues(total: float, *, attempt: float | None) -> int:
    """Returns how often a run of `total` seconds is queued again where a job may take `attempt` seconds.

    Raises:
        ValueError: an attempt ends before it has begun to train.
    """
    if attempt is None:
        return 0
    if attempt <= _STARTING:
        raise ValueError(
            f"an attempt of {attempt:.0f} s ends before it trains; give at least 10 minutes: 10m"
        )
    return max(0, math.ceil(total / (attempt - _STARTING)) - 1)
