"""Which images make up a batch, and what is done to them: all that is known before a file is opened."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import erasing, order, randaugment, sampling
from pipeline.config import Augmentation, Evaluation
from pipeline.index import Index
from pipeline.operands import operands

_AT_ONCE = 1024
"""Places of the order that are computed together: a call of numpy costs more than one batch's numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Which micro-batches of a step are this rank's: r*n .. (r+1)*n-1, n = batch / micro_batch / world_size.

    ValueError: the batch does not divide.
    """

    batch: int
    micro_batch: int
    rank: int
    world_size: int

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.world_size
        if self.micro_batch < 1 or self.batch < 1 or self.batch % self.micro_batch:
            raise ValueError(
                f"a batch of {self.batch} is no whole number of micro-batches of {self.micro_batch}: "
                f"choose a --micro-batch that divides {self.batch}"
            )
        count = self.batch // self.micro_batch
        if count % self.world_size:
            fitting = ", ".join(str(n) for n in range(1, count + 1) if count % n == 0)
            raise ValueError(
                f"{count} micro-batches (batch {self.batch} / micro-batch {self.micro_batch}) cannot be "
                f"shared evenly by {self.world_size} processes: start {fitting}, or change --micro-batch"
            )

    @property
    def micro_batches(self) -> range:
        """This rank's micro-batches of every step."""
        own = self.batch // self.micro_batch // self.world_size
        return range(self.rank * own, (self.rank + 1) * own)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A batch to be made: its images, and what the graph takes besides their bytes."""

    ids: NDArray[np.int64]
    inputs: tuple[NDArray[Any], ...]
    image_size: int
    erased: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 6), dtype=np.int64))
    """[E, 6] rectangles of `erasing.boxes`."""

    step: int = 0
    micro_batch: int = 0
    epochs: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """[B] of training images."""

    drawn: randaugment.Draws | None = None
    """RandAugment's operations, which the inputs hold as forms and numbers."""


def train_plans(
    index: Index,
    *,
    augmentation: Augmentation,
    seed: int,
    share: Share,
    image_size: Callable[[int], int],
    steps: range,
) -> Iterator[Plan]:
    places = ((step, micro_batch) for step in steps for micro_batch in share.micro_batches)
    while some := list(islice(places, max(1, _AT_ONCE // share.micro_batch))):
        firsts = [step * share.batch + micro_batch * share.micro_batch for step, micro_batch in some]
        positions = np.add.outer(firsts, np.arange(share.micro_batch))
        epochs, ids = order.at(positions.ravel(), seed=seed, count=len(index))
        rows = zip(epochs.reshape(positions.shape), ids.reshape(positions.shape), strict=True)
        for (step, micro_batch), (epoch, own) in zip(some, rows, strict=True):
            plan = sample_plan(
                index,
                augmentation=augmentation,
                seed=seed,
                epochs=epoch,
                ids=own,
                image_size=image_size(step),
            )
            yield replace(plan, step=step, micro_batch=micro_batch)


def sample_plan(
    index: Index,
    *,
    augmentation: Augmentation,
    seed: int,
    epochs: NDArray[np.int64],
    ids: NDArray[np.int64],
    image_size: int,
    shown: NDArray[np.int64] | None = None,
) -> Plan:
    """What is done to training images `ids` [B] in `epochs` [B].

    Where `shown` [B] stand in for them, these are drawn with the numbers of the images that they replace, on
    their own height and width.
    """
    seen = ids if shown is None else shown
    drawn = sampling.draw(
        seed=seed,
        epochs=epochs,
        ids=ids,
        heights=index.heights[seen],
        widths=index.widths[seen],
        scale_min=augmentation.scale_min,
        flip=augmentation.flip,
    )
    inputs: tuple[NDArray[Any], ...] = (
        drawn.starts,
        drawn.shapes,
        _sizes(len(ids), image_size),
        drawn.flips.astype(np.int32),
    )
    augmented = None
    if augmentation.rand_ops:
        augmented = randaugment.draw(
            count=augmentation.rand_ops,
            magnitude=augmentation.rand_magnitude,
            deviation=augmentation.rand_deviation,
            seed=seed,
            epochs=epochs,
            ids=ids,
        )
        taken = operands(augmented, image_size=image_size)
        inputs = (*inputs, taken.forms, taken.numbers)
    plan = Plan(ids=ids, inputs=inputs, image_size=image_size, epochs=epochs, drawn=augmented)
    if not augmentation.erasing:
        return plan
    erased = erasing.boxes(
        probability=augmentation.erasing, seed=seed, epochs=epochs, ids=ids, image_size=image_size
    )
    return replace(plan, erased=erased)


def eval_plans(
    index: Index, *, evaluation: Evaluation, rank: int, world_size: int, image_size: int
) -> Iterator[Plan]:
    for first in range(rank * evaluation.eval_batch, len(index), world_size * evaluation.eval_batch):
        ids = np.arange(first, min(first + evaluation.eval_batch, len(index)))
        starts, ends = sampling.central_windows(
            heights=index.heights[ids],
            widths=index.widths[ids],
            image_size=image_size,
            crop_ratio=evaluation.crop_ratio,
        )
        yield Plan(ids=ids, inputs=(starts, ends, _sizes(len(ids), image_size)), image_size=image_size)


def in_groups(plans: Iterator[Plan], *, images: int) -> Iterator[tuple[Plan, ...]]:
    """Successive plans of one image size, as many as have `images` images together, one at least."""
    group: list[Plan] = []
    for plan in plans:
        together = len(plan.ids) + sum(len(other.ids) for other in group)
        if group and (together > images or plan.image_size != group[0].image_size):
            yield tuple(group)
            group = []
        group.append(plan)
    if group:
        yield tuple(group)


def joined(group: Sequence[Plan]) -> Plan:
    """What the graph takes for a group at once; what is done to images behind it their own plans tell."""
    return Plan(
        ids=np.concatenate([plan.ids for plan in group]),
        inputs=tuple(np.concatenate(values) for values in zip(*(plan.inputs for plan in group), strict=True)),
        image_size=group[0].image_size,
        epochs=np.concatenate([plan.epochs for plan in group]),
    )


def _sizes(count: int, image_size: int) -> NDArray[np.float32]:
    return np.full((count, 2), image_size, dtype=np.float32)
