"""torch.compile for the training passes, held against the plain ones before it is used.

Nobody tests its kernels on a V100 any more (https://github.com/triton-lang/triton/pull/5066), and a machine
may have no compiler at all; so a network is compiled where asked for, and only if that works and pays there.
"""

from collections.abc import Callable
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
_HALF_TOLERANCE = 0.1  # compiled passes round at fewer places than autocast's, and so come closer to fp32
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

    Right is: loss, running statistics and gradients of a micro-batch are the plain network's, each within a
    relative error in the Euclidean norm of 1e-3 in fp32 and 0.1 in half precision.

    Args:
        state: what it holds afterwards is of no use.
        batch: of images that differ; of equal ones the network's variances are 0.
    """
    results: list[Tensor] = []
    plain, fast = (
        trial(
            replace(state, model=model),
            batch,
            layout=layout,
            optim=optim,
            precision=precision,
            mark=lambda result: results.append(result.detach()),
        )
        for model in (state.model, compiled(state.model))
    )

    def answers(step: Callable[[], float]) -> tuple[Tensor, ...]:
        results.clear()
        torch.manual_seed(0)
        step()
        gradients = [p.grad.flatten() for p in state.model.parameters() if p.grad is not None]
        return results[0], state.stats.values.clone(), torch.cat(gradients)

    expected = answers(plain)
    try:
        found = answers(fast)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # compilers fail in many ways
        return f"torch.compile fails here ({gist(error)})"
    tolerance = _TOLERANCE if half_type(precision) is None else _HALF_TOLERANCE
    for name, ours, theirs in zip(("loss", "running statistics", "gradients"), found, expected, strict=True):
        error = float((ours - theirs).norm() / theirs.norm())
        if not error <= tolerance:
            return f"compiled passes are wrong here: of the {name}, the relative error is {error:.2g}"
    pairs = [(plain(), fast()) for _ in range(_STEPS)]
    slow, quick = (1000 * median(times) for times in zip(*pairs, strict=True))
    if quick >= slow:
        return f"compiled steps are no faster here: {quick:.1f} ms for {slow:.1f} ms"
    return None
