"""torch.compile for the training passes, held against the plain ones before it is used.

Nobody tests its kernels on a V100 any more (https://github.com/triton-lang/triton/pull/5066), and a machine
may have no compiler at all; so a network is compiled where asked for, and only if that works and pays there.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

from launch.engine.config import Optim, Precision
from launch.engine.layout import Layout
from launch.engine.optimizer import clear_gradients
from launch.engine.ports import MicroBatch
from launch.engine.state import TrainState
from launch.engine.step import half_type, mixed_loss

_TOLERANCE = {"fp32": 1e-3}
_HALF_TOLERANCE = 0.1  # compiled passes round at fewer places than autocast's, and so come closer to fp32
_PASSES = 7

Pass = Callable[[], tuple[Tensor, ...]]


def compiled(model: nn.Module) -> nn.Module:
    """Returns `model`, sharing all its tensors, compiled at its first pass with each size of images.

    Dropout and drop-path draw what they draw in the plain network.
    """
    return cast(nn.Module, torch.compile(model, dynamic=False, options={"fallback_random": True}))


def find_fault(
    state: TrainState, batch: MicroBatch, *, layout: Layout, optim: Optim, precision: Precision
) -> str | None:
    """Returns why the compiled network is not to be used here, or None: it is right, and faster.

    Right is: loss, running statistics and gradients of a micro-batch are the plain network's, each within a
    relative error in the Euclidean norm of 1e-3 in fp32 and 0.1 in half precision.

    Args:
        state: what it holds afterwards is of no use.
        batch: of images that differ; of equal ones the network's variances are 0.
    """
    plain, fast = (
        _passing(model, state, batch, layout=layout, optim=optim, precision=precision)
        for model in (state.model, compiled(state.model))
    )
    expected = plain()
    try:
        found = fast()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # compilers fail in many ways
        return f"torch.compile fails here ({_gist(error)})"
    for name, ours, theirs in zip(("loss", "running statistics", "gradients"), found, expected, strict=True):
        error = float((ours - theirs).norm() / theirs.norm())
        if not error <= _TOLERANCE.get(precision, _HALF_TOLERANCE):
            return f"compiled passes are wrong here: of the {name}, the relative error is {error:.2g}"
    seconds: dict[Pass, list[float]] = {plain: [], fast: []}
    for _ in range(_PASSES):
        for passing, times in seconds.items():
            start = time.perf_counter()
            float(passing()[0])  # waits for the device
            times.append(time.perf_counter() - start)
    slow, quick = (1000 * median(times) for times in seconds.values())
    if quick >= slow:
        return f"compiled passes are no faster here: {quick:.1f} ms for {slow:.1f} ms"
    return None


def _passing(
    model: nn.Module,
    state: TrainState,
    batch: MicroBatch,
    *,
    layout: Layout,
    optim: Optim,
    precision: Precision,
) -> Pass:
    """Returns what passes the batch through `model`, the state's, and returns what is compared."""
    half, images = half_type(precision), batch.images.contiguous(memory_format=layout.memory_format)

    def passing() -> tuple[Tensor, ...]:
        state.model.train()
        clear_gradients(state.optimizer)
        torch.manual_seed(0)
        with torch.autocast(images.device.type, half, half is not None):
            loss = mixed_loss(model(images), batch, smoothing=optim.label_smoothing)
        state.scaler.scale(loss).backward()
        gradients = [p.grad.flatten() for p in state.model.parameters() if p.grad is not None]
        return loss.detach(), state.stats.values.clone(), torch.cat(gradients)

    return passing


def _gist(error: Any) -> str:
    """Returns the kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:200]}" if said else type(error).__name__
