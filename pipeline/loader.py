"""From an index to batches on the training device: plan, read ahead, decode ahead, mix.

The loader remembers nothing: what a batch holds follows from the seed and the step, so a run begins at any
step, and a rank's micro-batches are the same whichever other ranks there are.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import graph, mixing
from pipeline.batch import Batch, damaged_image, labels_of
from pipeline.config import Augmentation, Evaluation, Feeding
from pipeline.index import Index
from pipeline.plans import Plan, Share, eval_plans, train_plans
from pipeline.storage import read_ahead, read_file

__all__ = ["Batch", "Share", "eval_batches", "train_batches"]

_READERS = 4  # a file's first byte takes long on a network file system, and several can be waited for at once


def train_batches(
    index: Index,
    *,
    augmentation: Augmentation,
    feeding: Feeding,
    seed: int,
    share: Share,
    device: torch.device,
    image_size: Callable[[int], int],
    from_step: int,
    to_step: int,
    processes: int = 1,
) -> Generator[Batch]:
    """Yield this rank's micro-batches in order, those of steps from_step .. to_step - 1.

    `image_size` gives a step's side of the images in pixels; it is asked some steps ahead. `processes` share
    this machine's cores. Closing the generator ends its threads.

    ValueError: an image cannot be decoded, or decoding on a GPU was asked for without one.
    """
    plans = train_plans(
        index,
        augmentation=augmentation,
        seed=seed,
        share=share,
        image_size=image_size,
        steps=range(from_step, to_step),
    )
    mix = partial(mixing.mixup, alpha=augmentation.mixup, seed=seed)
    decoded = _decode(
        graph.train_graph,
        plans,
        index=index,
        feeding=feeding,
        device=device,
        batch=share.micro_batch,
        processes=processes,
    )
    with closing(decoded):
        for plan, images in decoded:
            labels = labels_of(index, plan.ids, device=device)
            images, labels_b, weight = mix(images, labels, step=plan.step, micro_batch=plan.micro_batch)
            yield Batch(images=images, labels=labels, labels_b=labels_b, weight=weight, ids=plan.ids)


def eval_batches(
    index: Index,
    *,
    evaluation: Evaluation,
    feeding: Feeding,
    rank: int,
    world_size: int,
    device: torch.device,
    image_size: int,
    processes: int = 1,
) -> Generator[Batch]:
    """Yield every image once over all ranks, in the order of the index.

    Batch b holds images b*evaluation.eval_batch onwards and goes to rank b % world_size, so that the batches
    are the same for every world size; the last may be smaller, and a rank may get none.
    Errors as `train_batches`.
    """
    plans = eval_plans(index, evaluation=evaluation, rank=rank, world_size=world_size, image_size=image_size)
    decoded = _decode(
        graph.eval_graph,
        plans,
        index=index,
        feeding=feeding,
        device=device,
        batch=evaluation.eval_batch,
        processes=processes,
    )
    with closing(decoded):
        for plan, images in decoded:
            labels = labels_of(index, plan.ids, device=device)
            weight = torch.ones(len(labels), device=device)
            yield Batch(images=images, labels=labels, labels_b=labels, weight=weight, ids=plan.ids)


def _decode(
    wanted: Any,
    plans: Iterator[Plan],
    *,
    index: Index,
    feeding: Feeding,
    device: torch.device,
    batch: int,
    processes: int,
) -> Generator[tuple[Plan, Tensor]]:
    """Yield the plans with their images, reading and decoding some batches ahead of the one yielded."""
    placement = graph.place(device, decode=feeding.decode)
    reading: deque[Plan] = deque()
    decoding: deque[tuple[Plan, list[NDArray[Any]]]] = deque()
    released: deque[object] = deque(maxlen=graph.DEPTH)  # a GPU may still read their bytes

    def read(i: int) -> NDArray[np.uint8]:
        return read_file(index.path(i), size=int(index.sizes[i]))

    def wanted_ids() -> Iterator[list[int]]:
        for plan in plans:
            reading.append(plan)
            yield plan.ids.tolist()

    def inputs() -> graph.Inputs:
        for encoded in files:
            plan = reading.popleft()
            decoding.append((plan, encoded))
            yield encoded, *plan.inputs

    files = read_ahead(wanted_ids(), depth=feeding.ahead, threads=_READERS, read=read)
    assert isinstance(files, Generator)  # closing it ends its threads
    with closing(files):
        threads = graph.threads(feeding.workers, device=device, processes=processes)
        pipe = graph.build(wanted, inputs(), placement=placement, batch=batch, threads=threads)
        while True:
            try:
                images = graph.run(pipe, device=device)
            except StopIteration:
                return
            except RuntimeError as fault:
                plan, encoded = decoding[0]
                del pipe
                damaged = _first_damaged(wanted, plan, encoded, placement=placement, device=device)
                if damaged is None:
                    raise
                raise damaged_image(index.path(damaged)) from fault
            released.append(decoding[0])
            yield decoding.popleft()[0], images


def _first_damaged(
    wanted: Any,
    plan: Plan,
    encoded: list[NDArray[Any]],
    *,
    placement: graph.Placement,
    device: torch.device,
) -> int | None:
    """Decode a batch image by image, since DALI does not say which of a batch it could not decode."""
    rows = range(len(encoded))
    single = ((encoded[row : row + 1], *(values[row : row + 1] for values in plan.inputs)) for row in rows)
    pipe = graph.build(wanted, single, placement=placement, batch=1, threads=1)
    for row in rows:
        try:
            graph.run(pipe, device=device)
        except RuntimeError:
            return int(plan.ids[row])
    return None
