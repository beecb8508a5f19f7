"""What is said of a run that skips step after step: where, at which figures, and of which images."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed as dist

from launch.engine.step import Step

_NAMED = 3  # micro-batches of a message, and images of each

Concerned = tuple[int, float, list[str]]
"""A micro-batch's number within the step, its loss and the files of its images."""


class Diverged(ValueError):
    """Too many optimizer steps in a row were skipped.

    Attributes:
        images: files of all micro-batches concerned.
    """

    def __init__(self, message: str, *, images: Sequence[str]):
        super().__init__(message)
        self.images = images


def diagnose(
    step: Step,
    ids: Sequence[Any],
    *,
    lr: float,
    max_skipped: int,
    name_image: Callable[[int], str],
    group: dist.ProcessGroup | None,
) -> Diverged:
    """Returns what is to be raised after a streak of skipped steps; every rank must call this.

    Args:
        ids: of this rank's micro-batches in the last step.
        lr: the last step's learning rate.
        name_image: the file of an image.
    """
    own = [
        (step.first_micro_batch + k, loss, [name_image(int(i)) for i in batch])
        for k, (loss, batch) in enumerate(zip(step.losses.tolist(), ids, strict=True))
    ]
    everybody: list[list[Concerned]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everybody, own, group=group)
    micro_batches = [entry for rank in everybody for entry in rank]
    concerned = [entry for entry in micro_batches if not math.isfinite(entry[1])]
    state = step.state
    shown = "; ".join(map(_micro_batch, (concerned or micro_batches)[:_NAMED]))
    if more := len(concerned or micro_batches) - _NAMED:
        shown += f"; and {more} more" if more > 0 else ""
    cause = (
        "Losses that are not finite"
        if concerned
        else "All losses are finite, an activation or gradient is not"
    )
    good = state.step - state.streak
    message = (
        f"{state.streak} optimizer steps in a row, {good + 1} to {state.step}, came to values that are not "
        f"finite and were skipped; the weights are those after step {good}. Loss scale "
        f"{state.scaler.get_scale():g}, learning rate {lr:g}. {cause} in step {state.step}: {shown}. Take a "
        f"lower --lr or --precision fp32, which is another run; or let it try on: --max-skipped "
        f"{2 * max(state.streak, max_skipped)}"
    )
    return Diverged(message, images=[file for entry in concerned or micro_batches for file in entry[2]])


def _micro_batch(entry: Concerned) -> str:
    number, loss, files = entry
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"micro-batch {number}, loss {loss:g}, of {', '.join(files[:_NAMED])}{more}"
