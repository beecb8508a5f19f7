"""How a network's tensors lie in memory, and which way is fastest here."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import get_args

import torch

from launch.engine.config import LayoutName, Optim, Precision
from launch.engine.optimizer import clear_gradients
from launch.engine.ports import MicroBatch
from launch.engine.state import TrainState
from launch.engine.step import half_type, mixed_loss

CANDIDATES: tuple[LayoutName, ...] = tuple(name for name in get_args(LayoutName) if name != "auto")

STEPS = 20
"""Steps by which a layout is judged, in two rounds of which the second goes backwards through the layouts."""

_WARMUP = 3
_LEAST_STEPS = 4
_PATIENCE = 60.0  # seconds that all the timing may take


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Memory format of images and weights, and what channel counts are rounded up to."""

    memory_format: torch.memory_format
    align: int


def find_layout(name: LayoutName) -> Layout:
    """Returns the layout of a name that is not `auto`."""
    assert name in CANDIDATES
    last = name.startswith("channels-last")
    return Layout(
        memory_format=torch.channels_last if last else torch.contiguous_format,
        align=8 if name.endswith("-8") else 1,
    )


def is_worth_timing(micro_batches: int) -> bool:
    """Whether a run of so many micro-batches on a rank takes 50 times as long as the timing, or longer."""
    return micro_batches >= 50 * len(CANDIDATES) * (STEPS + 2 * _WARMUP)


def time_layouts(
    new_state: Callable[[Layout], TrainState], batch: MicroBatch, *, optim: Optim, precision: Precision
) -> dict[LayoutName, float] | None:
    """Returns the median seconds of a micro-batch's forward, backward and optimizer step in each layout.

    Returns None where steps are so slow that it would take longer than a minute.

    Args:
        new_state: gives a state to train; what it holds afterwards is of no use.
    """
    seconds: dict[LayoutName, list[float]] = {name: [] for name in CANDIDATES}
    steps = STEPS // 2
    for names in (CANDIDATES, CANDIDATES[::-1]):
        for name in names:
            layout = find_layout(name)
            step = trial(new_state(layout), batch, layout=layout, optim=optim, precision=precision)
            quickest = min(step() for _ in range(_WARMUP))
            affordable = int(_PATIENCE / (2 * len(CANDIDATES) * quickest)) - _WARMUP
            steps = min(steps, affordable)
            if 2 * steps < _LEAST_STEPS:
                return None
            seconds[name] += [step() for _ in range(steps)]
            del step  # with its network, before the next one is built
    return {name: median(times) for name, times in seconds.items()}


def fastest(seconds: Mapping[LayoutName, float]) -> LayoutName:
    """Returns the layout of the shortest step; the first of `CANDIDATES` among equals."""
    return min(seconds, key=lambda name: seconds[name])


def trial(
    state: TrainState,
    batch: MicroBatch,
    *,
    layout: Layout,
    optim: Optim,
    precision: Precision,
    mark: Callable[[torch.Tensor], None] = lambda result: None,
) -> Callable[[], float]:
    """Returns what takes one step and returns its seconds, the device's work included.

    Args:
        mark: called with a result of the forward pass, then with one of the backward pass.
    """
    model, optimizer, scaler, half = state.model, state.optimizer, state.scaler, half_type(precision)
    images = batch.images.contiguous(memory_format=layout.memory_format)
    weights = next(model.parameters())
    model.train()
    for group in optimizer.param_groups:
        group["lr"] = (
            0.0  # on one constant batch the weights would run away, and floats out of range are slow
        )

    def step() -> float:
        start = time.perf_counter()
        clear_gradients(optimizer)
        with torch.autocast(images.device.type, half, half is not None):
            loss = mixed_loss(model(images), batch, smoothing=optim.label_smoothing)
        mark(loss)
        scaler.scale(loss).backward()
        assert weights.grad is not None
        mark(weights.grad)
        scaler.step(optimizer)
        scaler.update(scaler.get_scale())
        float(weights.detach().sum())  # waits for the device
        return time.perf_counter() - start

    return step
