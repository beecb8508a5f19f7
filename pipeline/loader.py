"""From an index to batches on the training device: plan, read ahead, decode ahead, mix.

The loader remembers nothing: what a batch holds follows from the seed and the step, so a run begins at any
step, and a rank's micro-batches are the same whichever other ranks there are.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pipeline import erasing, graph, mixing
from pipeline.batch import BadImage, Batch, labels_of
from pipeline.config import Augmentation, Evaluation, Feeding
from pipeline.index import Index
from pipeline.plans import Plan, Share, eval_plans, in_groups, joined, train_plans
from pipeline.reading import SoundReader
from pipeline.rows import Choice, Inputs, Row, eval_choices, graph_inputs, replace_undecodable, train_choices
from pipeline.storage import read_ahead

__all__ = ["Batch", "Share", "eval_batches", "train_batches"]

Decoded = tuple[Plan, Tensor, tuple[BadImage, ...]]
"""A plan, its images [B, 3, H, W], and what could not be shown."""

_TOGETHER = (
    64  # images in the graph at once for each thread, so that none waits for the others at an operator
)
_AT_MOST = 128  # more takes memory and is no faster
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

    Another image of its class stands in for a bad one, and no other row changes: see `pipeline.rows`.

    ValueError: every image of a class is bad, or decoding on a GPU was asked for without one.
    """
    plans = train_plans(
        index,
        augmentation=augmentation,
        seed=seed,
        share=share,
        image_size=image_size,
        steps=range(from_step, to_step),
    )
    table = erasing.noise(device) if augmentation.erasing else None
    mix = partial(mixing.mix, mixup=augmentation.mixup, cutmix=augmentation.cutmix, seed=seed)

    decoded = _decode(
        partial(graph.train_graph, rand_ops=augmentation.rand_ops),
        plans,
        choices=partial(train_choices, index=index, augmentation=augmentation, seed=seed),
        index=index,
        feeding=feeding,
        device=device,
        batch=share.micro_batch,
        processes=processes,
    )
    with closing(decoded):
        for plan, images, bad in decoded:
            labels = labels_of(index, plan.ids, device=device)
            if table is not None:
                erasing.erase(images, plan.erased, table=table)
            images, labels_b, weight = mix(images, labels, step=plan.step, micro_batch=plan.micro_batch)
            yield Batch(images=images, labels=labels, labels_b=labels_b, weight=weight, ids=plan.ids, bad=bad)


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
    are the same for every world size; the last may be smaller, and a rank may get none. A bad image is black.

    ValueError: decoding on a GPU was asked for without one.
    """
    plans = eval_plans(index, evaluation=evaluation, rank=rank, world_size=world_size, image_size=image_size)
    decoded = _decode(
        partial(graph.eval_graph, interpolation=evaluation.interpolation),
        plans,
        choices=eval_choices,
        index=index,
        feeding=feeding,
        device=device,
        batch=evaluation.eval_batch,
        processes=processes,
    )
    with closing(decoded):
        for plan, images, bad in decoded:
            labels = labels_of(index, plan.ids, device=device)
            weight = torch.ones(len(labels), device=device)
            yield Batch(images=images, labels=labels, labels_b=labels, weight=weight, ids=plan.ids, bad=bad)


def _decode(
    wanted: Any,
    plans: Iterator[Plan],
    *,
    choices: Callable[[Plan, int], Iterator[Choice]],
    index: Index,
    feeding: Feeding,
    device: torch.device,
    batch: int,
    processes: int,
) -> Generator[Decoded]:
    """Yield the plans with their images, reading and decoding some batches ahead of the one yielded."""
    placement = graph.place(device, decode=feeding.decode, window=feeding.window)
    threads = graph.threads(feeding.workers, device=device, processes=processes)
    most = max(batch, min(_TOGETHER * threads, _AT_MOST))
    reader = SoundReader(index)
    reading: deque[tuple[tuple[Plan, ...], Plan]] = deque()
    decoding: deque[tuple[tuple[Plan, ...], Plan, list[Row], Inputs]] = deque()
    released: deque[object] = deque(maxlen=graph.DEPTH)  # a GPU may still read their bytes

    def places() -> Iterator[list[tuple[Plan, int]]]:
        for group in in_groups(plans, images=most):
            reading.append((group, joined(group)))
            whole = reading[-1][1]
            yield [(whole, number) for number in range(len(whole.ids))]

    def begin(place: tuple[Plan, int]) -> Row:
        return Row(choices(*place), reader=reader)

    def inputs() -> graph.Inputs:
        yield from [encoded for *_, encoded in decoding]  # once more, where a graph has died with them
        for rows in files:
            group, whole = reading.popleft()
            decoding.append((group, whole, rows, graph_inputs(whole, rows)))
            yield decoding[-1][-1]

    ahead = -(-feeding.ahead * batch // most)
    files = read_ahead(places(), depth=ahead, threads=_READERS, read=begin)
    with closing(files), closing(reader):
        pipe = graph.build(wanted, inputs(), placement=placement, batch=most, threads=threads)
        while True:
            try:
                images = graph.run(pipe, device=device)
            except StopIteration:
                return
            except RuntimeError:
                del pipe  # it is dead, and its memory is needed
                if not decoding:
                    raise
                group, whole, rows, encoded = decoding[0]
                check = partial(_undecodable, wanted, placement=placement, device=device)
                if not replace_undecodable(whole, rows, inputs=encoded, check=check):
                    raise
                decoding[0] = group, whole, rows, graph_inputs(whole, rows)
                pipe = graph.build(wanted, inputs(), placement=placement, batch=most, threads=threads)
                continue
            group, _, rows, _ = decoding[0]
            released.append(decoding.popleft())
            for plan in group:
                count = len(plan.ids)
                own, rows = rows[:count], rows[count:]
                yield plan, images[:count], tuple(bad for row in own for bad in row.bad)
                images = images[count:]


def _undecodable(
    wanted: Any, inputs: Inputs, *, placement: graph.Placement, device: torch.device
) -> list[int]:
    """The rows of a batch that do not decode, found one by one: DALI names the first at best."""
    found, first, count = list[int](), 0, len(inputs[0])
    while first < count:
        single = (tuple(part[row : row + 1] for part in inputs) for row in range(first, count))
        pipe = graph.build(wanted, single, placement=placement, batch=1, threads=1)
        try:
            while first < count:
                graph.run(pipe, device=device)
                first += 1
        except RuntimeError:  # the graph is dead, too
            found.append(first)
            first += 1
    return found
