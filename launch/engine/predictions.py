"""What is made of each image in an evaluation, and which classes stand before the right one."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from launch.engine.ports import MicroBatch

TOP = 5
"""Classes that an image may be recognised among, and that are kept of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What was predicted: ids [N], labels [N], top-5 classes and their probabilities [N, 5], sorted by id.

    Of an image that was bad, classes are -1, probabilities 0, and all classes stand before the label.
    """

    ids: np.ndarray
    labels: np.ndarray
    ranks: np.ndarray
    """[N]: how many classes stand before the label's, by `label_ranks`; what hits are counted from."""
    top5: np.ndarray
    probabilities: np.ndarray


def label_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns [B] int64: how many classes stand before the label's in logits [B, C].

    Equal logits are ordered by class, so a constant output is no hit but for class 0; where the label's
    logit is not a number, every class stands before it.
    """
    own = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1], device=logits.device)
    behind = (logits < own) | ((logits == own) & (classes >= labels[:, None]))
    return (~behind).sum(dim=1)


def whole_rows(batch: MicroBatch) -> np.ndarray:
    """Returns [B] bool: which rows show their image."""
    return ~np.isin(batch.ids, [bad.id for bad in batch.bad])


def batch_predictions(batch: MicroBatch, logits: Tensor) -> tuple[np.ndarray, ...]:
    """Returns the columns of `Predictions` for a batch, in its own order."""
    top = logits.softmax(dim=1).topk(min(TOP, logits.shape[1]))
    classes, probabilities = top.indices.cpu().numpy(), top.values.cpu().numpy()
    lost = ~whole_rows(batch)
    ranks = label_ranks(logits, batch.labels).cpu().numpy()
    classes[lost], probabilities[lost], ranks[lost] = -1, 0, logits.shape[1]
    return batch.ids, batch.labels.cpu().numpy(), ranks, classes, probabilities


def gather_predictions(kept: list[tuple[np.ndarray, ...]], *, group: dist.ProcessGroup) -> Predictions | None:
    """Returns what all ranks have kept, on rank 0."""
    first = dist.get_rank() == 0
    everybody: list[list[tuple[np.ndarray, ...]]] | None = (
        [[] for _ in range(dist.get_world_size())] if first else None
    )
    dist.gather_object(kept, everybody, dst=0, group=group)
    if everybody is None:
        return None
    parts = [part for rank in everybody for part in rank]
    ids, labels, ranks, top5, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids)
    return Predictions(
        ids=ids[order],
        labels=labels[order],
        ranks=ranks[order],
        top5=top5[order],
        probabilities=probabilities[order].astype(np.float32),
    )
