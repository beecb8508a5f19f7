"""Exact top-1 and top-5 over a whole data set, however many processes share it."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from launch.engine.bad_images import Bad, gather_bad
from launch.engine.ports import BadImage, EvalBatches, MicroBatch

_TOP = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The result of one evaluation. Accuracies in percent.

    `images` counts bad ones, which are misses; `loss` is the mean cross-entropy of the others.
    """

    hits1: int
    hits5: int
    images: int
    loss: float
    bad: tuple[Bad, ...] = ()

    @property
    def acc1(self) -> float:
        """Acc@1 in percent."""
        return 100 * self.hits1 / self.images

    @property
    def acc5(self) -> float:
        """Acc@5 in percent."""
        return 100 * self.hits5 / self.images


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What was predicted: ids [N], labels [N], top-5 classes and their probabilities [N, 5], sorted by id.

    Of an image that was bad, classes are -1 and probabilities 0.
    """

    ids: np.ndarray
    labels: np.ndarray
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


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: EvalBatches,
    *,
    images: int,
    device: torch.device,
    group: dist.ProcessGroup,
    memory_format: torch.memory_format = torch.channels_last,
    keep: bool = False,
    split: str = "val",
) -> tuple[Score, Predictions | None]:
    """Evaluates `model` in fp32 on this rank's batches and adds all ranks up.

    Args:
        images: how many images all ranks together must have seen.
        group: connects the hosts' memory.
        memory_format: of the model; images are brought into it.
        keep: whether rank 0 also returns every prediction.
        split: whose images these are, for the names of bad ones.

    Raises:
        RuntimeError: another number of images was seen.
    """
    training = model.training
    model.eval()
    counts = torch.zeros(3, dtype=torch.int64, device=device)
    losses = torch.zeros((), dtype=torch.float64, device=device)
    kept: list[tuple[np.ndarray, ...]] = []
    found: list[BadImage] = []
    for batch in batches():
        logits = model(batch.images.contiguous(memory_format=memory_format))
        labels, whole = batch.labels, slice(None)
        if batch.bad:
            found += batch.bad
            whole = torch.from_numpy(_whole_rows(batch)).to(device)
        ranks = label_ranks(logits[whole], labels[whole])
        counts[0] += (ranks < 1).sum()
        counts[1] += (ranks < _TOP).sum()
        counts[2] += len(labels)
        losses += F.cross_entropy(logits[whole], labels[whole], reduction="sum")
        if keep:
            kept.append(_predictions(batch, logits))
    model.train(training)
    counts, losses = torch.cat([counts.cpu(), torch.tensor([len(found)])]), losses.cpu()
    dist.all_reduce(counts, group=group)
    dist.all_reduce(losses, group=group)
    hits1, hits5, seen, bad = (int(value) for value in counts.tolist())
    if seen != images:
        raise RuntimeError(f"the evaluation saw {seen} images, but there are {images}")
    score = Score(
        hits1=hits1,
        hits5=hits5,
        images=seen,
        loss=float(losses) / (seen - bad) if seen > bad else float("nan"),
        bad=gather_bad(found, split=split, group=group) if bad else (),
    )
    return score, _gather(kept, group=group) if keep else None


def _whole_rows(batch: MicroBatch) -> np.ndarray:
    """Returns [B] bool: which rows show their image."""
    return ~np.isin(batch.ids, [bad.id for bad in batch.bad])


def _predictions(batch: MicroBatch, logits: Tensor) -> tuple[np.ndarray, ...]:
    top = logits.softmax(dim=1).topk(min(_TOP, logits.shape[1]))
    classes, probabilities = top.indices.cpu().numpy(), top.values.cpu().numpy()
    lost = ~_whole_rows(batch)
    classes[lost], probabilities[lost] = -1, 0
    return batch.ids, batch.labels.cpu().numpy(), classes, probabilities


def _gather(kept: list[tuple[np.ndarray, ...]], *, group: dist.ProcessGroup) -> Predictions | None:
    first = dist.get_rank() == 0
    everybody: list[list[tuple[np.ndarray, ...]]] | None = (
        [[] for _ in range(dist.get_world_size())] if first else None
    )
    dist.gather_object(kept, everybody, dst=0, group=group)
    if everybody is None:
        return None
    parts = [part for rank in everybody for part in rank]
    ids, labels, top5, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids)
    return Predictions(
        ids=ids[order],
        labels=labels[order],
        top5=top5[order],
        probabilities=probabilities[order].astype(np.float32),
    )
