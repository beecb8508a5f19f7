"""torch.compile for the training passes, held against the plain ones before it is used.

Nobody tests its kernels on a V100 any more (https://github.com/triton-lang/triton/pull/5066), and a machine
may have no compiler at all; so a network is compiled where asked for, and only if that works and pays there.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from statistics import median
from typing import cast

import torch
from torch import Tensor, nn

from launch.engine.config import Optim, Precision
from launch.engine.faults import gist
from launch.engine.layout import Layout, trial
from launch.engine.ports import MicroBatch
from launch.engine.state import TrainState
from launch.engine.step import half_type

_TOLERANCE = 1e-3
_HALF_TOLERANCE = 0.1
_AS_NOISY = 2.0
"""Times the plain network's own rounding, as far as compiled passes may be off. In bf16 that alone moves
ReXNet-1.0's gradients of 32 images of noise, 64 pixels, by a relative 0.34 (measured on a CPU)."""
_LOST = 0.9
"""An error of 1 is that of a gradient which is not there."""
_STEPS = 7


def compiled(model: nn.Module) -> nn.Module:
    """Returns `model`, sharing all its tensors, compiled at its first pass with each size of images.

    Dropout and drop-path draw what they draw in the plain network.
    """
    return cast(nn.Module, torch.compile(model, dynamic=False, options={"fallback_random": True}))


def find_fault(
    state: TrainState, batch: MicroBatch, *, layout: Layout, optim: Optim, precision: Precision
) -> str | None:
    """Returns why the compiled network is not to be used here, or None: it is right, and faster.

    Right is: loss, running statistics and gradients of a micro-batch are those of the plain network in fp32,
    each within a relative error in the Euclidean norm of 1e-3, in half precision of 0.1, or of twice the
    error, up to 0.9, that the plain network itself makes, rounding as it trains.

    Args:
        state: what it holds afterwards is of no use.
        batch: of images that differ; of equal ones the network's variances are 0.
    """
    results: list[Tensor] = []
    ways: tuple[tuple[nn.Module, Precision], ...] = (
        (state.model, "fp32"),
        (state.model, precision),
        (compiled(state.model), precision),
    )
    exact, plain, fast = (
        trial(
            replace(state, model=model),
            batch,
            layout=layout,
            optim=optim,
            precision=computed,
            mark=lambda result: results.append(result.detach()),
        )
        for model, computed in ways
    )

    def answers(step: Callable[[], float]) -> tuple[Tensor, ...]:
        results.clear()
        torch.manual_seed(0)
        step()
        gradients = [p.grad.flatten() for p in state.model.parameters() if p.grad is not None]
        return results[0], state.stats.values.clone(), torch.cat(gradients)

    try:
        with _without_tf32():
            expected = answers(exact)
    except torch.OutOfMemoryError:
        return "the plain network's passes in fp32, to compare with, do not fit into this GPU's memory"
    rounded = answers(plain)
    try:
        found = answers(fast)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # compilers fail in many ways
        return f"torch.compile fails here ({gist(error)})"
    tolerance = _TOLERANCE if half_type(precision) is None else _HALF_TOLERANCE
    for k, name in enumerate(("loss", "running statistics", "gradients")):
        own, error = (_relative(answer[k], expected[k]) for answer in (rounded, found))
        if not error <= min(max(tolerance, _AS_NOISY * own), _LOST):
            return (
                f"compiled passes are wrong here: of the {name}, the relative error is {error:.2g}, and "
                f"{own:.2g} without the compiler"
            )
    pairs = [(plain(), fast()) for _ in range(_STEPS)]
    slow, quick = (1000 * median(times) for times in zip(*pairs, strict=True))
    if quick >= slow:
        return f"compiled steps are no faster here: {quick:.1f} ms for {slow:.1f} ms"
    return None


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _without_tf32() -> AbstractContextManager[None]:
    """Has cuDNN's convolutions keep all digits of fp32; on GPUs since Ampere they do not by default."""
    now = torch.backends.cudnn
    return now.flags(
        enabled=now.enabled, benchmark=now.benchmark, deterministic=now.deterministic, allow_tf32=False
    )
