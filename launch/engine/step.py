"""One optimizer step: micro-batches, precision, clipping, skipping. The only file that knows precisions."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import record_function

from launch.engine.config import LayoutName, Numerics, Optim, Precision
from launch.engine.gauges import GpuGauges, HostGauges
from launch.engine.optimizer import clear_gradients
from launch.engine.ports import MicroBatch
from launch.engine.state import TrainState
from launch.engine.stopwatch import GpuWatch, HostWatch

TOTALS = ("loss", "hits", "images", "skipped")
"""What `Step.totals` adds up since it was last cleared: [4] float64 on the device; of skipped steps only that
they were."""

_BUCKET_MIB = 4
"""DDP's default of 25 MiB puts nearly all of ReXNet-1.0 (18 MiB) into one bucket: no overlap."""


def choose_precision(numerics: Numerics, device: torch.device) -> Precision:
    """Returns the precision that `auto` stands for on this device.

    By compute capability: `torch.cuda.is_bf16_supported()` is true on a V100, which only emulates it.
    """
    if numerics.precision != "auto":
        return numerics.precision
    if device.type != "cuda":
        return "fp32"
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):
        return "bf16"
    return "fp16" if capability >= (7, 0) else "fp32"


def emulated(precision: Precision, device: torch.device) -> str | None:
    """Returns what to say where this device has no arithmetic for a precision, which torch then emulates."""
    if precision != "bf16" or device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0):
        return None
    name = torch.cuda.get_device_name(device)
    return (
        f"{name} has no arithmetic for bf16 and emulates it; --precision fp16 is what it has, and another run"
    )


def assumed_layout(precision: Precision, device: torch.device) -> LayoutName:
    """Returns the layout to take where none can be timed.

    Matrix units want multiples of 8 channels in half precision
    (https://docs.nvidia.com/deeplearning/performance/dl-performance-convolutional/).
    """
    return "channels-last-8" if device.type == "cuda" and half_type(precision) else "channels-last"


def half_type(precision: Precision) -> torch.dtype | None:
    """Returns what autocast computes in, or None for fp32."""
    return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)


def make_scaler(precision: Precision, *, device: torch.device, scale: float) -> torch.amp.GradScaler:
    """Returns the gradient scaler: its scale moves with fp16 and stays 1 otherwise."""
    if precision == "fp16":
        return torch.amp.GradScaler(device.type, init_scale=scale)
    return torch.amp.GradScaler(device.type, init_scale=1.0)


def replicate(model: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Returns the model wrapped for gradient averaging; its buffers are not broadcast."""
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    quiet = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    arguments: dict[str, Any] = {quiet: False}
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        bucket_cap_mb=_BUCKET_MIB,
        gradient_as_bucket_view=True,
        **arguments,
    )


class Step:
    """Trains a state by one optimizer step at a time.

    Args:
        state: what is trained.
        optim: smoothing and clipping.
        precision: of the forward and backward passes; never `auto`.
        memory_format: of the model; images are brought into it.
        accumulation: this rank's micro-batches per step.
        first_micro_batch: number of its first one within the step.
        draw_seed: (step, micro_batch) -> seed of dropout and drop-path.
        prepare: makes of the network what training passes go through, as a compiler does.

    Attributes:
        totals: sums since they were last cleared, see `TOTALS`.
        losses: of this rank's micro-batches in the last step, [accumulation].
        streak: how many steps in a row, up to the last one, were skipped, [] float64.
        own_work: times a step up to its last backward pass, in which ranks wait for each other.
        whole: times whole steps.
        gauges: what the device tells of itself.
    """

    def __init__(
        self,
        state: TrainState,
        *,
        optim: Optim,
        precision: Precision,
        memory_format: torch.memory_format = torch.channels_last,
        device: torch.device,
        accumulation: int,
        first_micro_batch: int,
        draw_seed: Callable[[int, int], int],
        prepare: Callable[[nn.Module], nn.Module] = lambda model: model,
    ):
        self.state = state
        self.optim = optim
        self.device = device
        self.memory_format = memory_format
        self.half = half_type(precision)
        self.moving_scale = precision == "fp16"
        self.accumulation = accumulation
        self.first_micro_batch = first_micro_batch
        self.draw_seed = draw_seed
        self.parameters = [p for p in state.model.parameters() if p.requires_grad]
        self.replica = replicate(prepare(state.model), device)
        self.totals = torch.zeros(len(TOTALS), dtype=torch.float64, device=device)
        self.shown = torch.zeros(3, dtype=torch.float64, device=device)
        self.losses = torch.zeros(accumulation, device=device)
        self.streak = torch.full((), float(state.streak), dtype=torch.float64, device=device)
        self.gradient_norm = torch.zeros((), device=device)
        gpu = device.type == "cuda"
        self.own_work, self.whole = (GpuWatch() if gpu else HostWatch() for _ in range(2))
        self.gauges = GpuGauges(device) if gpu else HostGauges()

    def __call__(self, batches: Iterator[MicroBatch], *, lr: float, decay: float) -> None:
        """Takes this rank's micro-batches of one step from `batches` and moves the state by one step.

        Where any rank's loss, running statistics (which an activation reaches) or gradients are not finite,
        weights, momentum, EMA and running statistics stay as they were on all ranks, bit for bit. The choice
        is made on the device, and the clock counts the step.
        """
        self.whole.start()
        state = self.state
        state.model.train()
        before = state.stats.begin()
        clear_gradients(state.optimizer)
        self.shown.zero_()
        self.own_work.start()
        for k in range(self.accumulation):
            with record_function("data"):
                batch = next(batches)
            torch.manual_seed(self.draw_seed(state.step, self.first_micro_batch + k))
            self._accumulate(batch, k=k)
        with record_function("optimizer"):
            sound = state.stats.average(self.losses)
            skipped = self._update(lr, sound=sound)
            state.stats.settle(before, skipped=skipped)
            state.average.update(state.model, state.stats, decay=decay, skipped=skipped)
        self.totals[:3] += torch.where(skipped, 0.0, self.shown)
        self.totals[3] += skipped
        self.streak.add_(1).mul_(skipped)
        self.whole.stop()
        state.step += 1

    def settle(self, batch: MicroBatch) -> None:
        """Runs two passes on a constant batch and undoes them.

        DDP settles its buckets after its first backward pass, and kernels choose their algorithms; without
        this a resumed run would sum its first gradients in another order than an uninterrupted one.
        """
        before = self.state.stats.snapshot()
        self.state.model.train()
        for _ in range(2):
            self.own_work.start()
            self._accumulate(batch, k=self.accumulation - 1)
        clear_gradients(self.state.optimizer)
        self.state.stats.restore(before)
        self.own_work.read()

    def _accumulate(self, batch: MicroBatch, *, k: int) -> None:
        last = k == self.accumulation - 1
        with nullcontext() if last else self.replica.no_sync():
            with (
                record_function("forward"),
                torch.autocast(self.device.type, self.half, self.half is not None),
            ):
                logits = self.replica(batch.images.contiguous(memory_format=self.memory_format))
                loss = mixed_loss(logits, batch, smoothing=self.optim.label_smoothing)
            if last:
                self.own_work.stop()
            with record_function("backward"):
                self.state.scaler.scale(loss / self.accumulation).backward()
        with torch.no_grad():
            self.state.stats.add()
            size = batch.labels.shape[0]
            self.losses[k] = loss
            self.shown[0] += loss * size
            self.shown[1] += mixed_hits(logits, batch)
            self.shown[2] += size

    def _update(self, lr: float, *, sound: Tensor) -> Tensor:
        """Steps the optimizer where `sound` [] is true and no gradient overflows; returns [] bool: if not."""
        optimizer, scaler = self.state.optimizer, self.state.scaler
        for group in optimizer.param_groups:
            group["lr"] = lr
        scaler.unscale_(optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        self.gradient_norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        if self.optim.clip > 0:
            torch.nn.utils.clip_grads_with_norm_(
                self.parameters, self.optim.clip, self.gradient_norm, foreach=True
            )
        skipped = skip_unless(sound, scaler, optimizer)
        scaler.step(optimizer)
        if self.moving_scale:
            scaler.update()
        else:
            scaler.update(1.0)
        return skipped


def skip_unless(sound: Tensor, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> Tensor:
    """Has the scaler skip its next step where `sound` [] is false, as where an unscaled gradient overflowed.

    Returns [] bool on the device: whether it will skip. The scaler has no public way to ask or to be told
    without a wait for the device; a test holds this one to it.
    """
    found = scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
    (overflowed,) = found.values()  # one per device
    torch.maximum(overflowed, (~sound).to(overflowed.dtype), out=overflowed)
    return overflowed > 0


def mixed_loss(logits: Tensor, batch: MicroBatch, *, smoothing: float) -> Tensor:
    """Returns the mean cross-entropy [] of logits [B, C] with the batch's two weighted labels."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    ours = F.cross_entropy(logits, batch.labels, label_smoothing=smoothing, reduction="none")
    partners = F.cross_entropy(logits, batch.labels_b, label_smoothing=smoothing, reduction="none")
    return (batch.weight * ours + (1 - batch.weight) * partners).mean()


def mixed_hits(logits: Tensor, batch: MicroBatch) -> Tensor:
    """Returns the hits [] among logits [B, C], each label counting by its weight."""
    best = logits.argmax(dim=1)
    ours, partners = best == batch.labels, best == batch.labels_b
    return (batch.weight * ours + (1 - batch.weight) * partners).sum()
