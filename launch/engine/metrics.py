"""Exact top-1 and top-5 over a whole data set, however many processes share it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from launch.engine.bad_images import Bad, gather_bad
from launch.engine.ports import BadImage, EvalBatches, MicroBatch
from launch.engine.predictions import (
    TOP,
    Predictions,
    batch_predictions,
    gather_predictions,
    label_ranks,
    whole_rows,
)


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
    (result,) = evaluate_together(
        [model],
        batches,
        images=images,
        device=device,
        group=group,
        memory_format=memory_format,
        keep=keep,
        split=split,
    )
    return result


@torch.no_grad()
def evaluate_together(
    models: Sequence[nn.Module],
    batches: EvalBatches,
    *,
    images: int,
    device: torch.device,
    group: dist.ProcessGroup,
    memory_format: torch.memory_format = torch.channels_last,
    keep: bool = False,
    split: str = "val",
) -> list[tuple[Score, Predictions | None]]:
    """Returns what `evaluate` does of each model; the batches are read once."""
    training = [model.training for model in models]
    tallies = [_Tally(model.eval(), device=device, keep=keep) for model in models]
    for batch in batches():
        shown = batch.images.contiguous(memory_format=memory_format)
        for tally in tallies:
            tally.add(batch, shown)
    for model, before in zip(models, training, strict=True):
        model.train(before)
    return [tally.add_up(images=images, split=split, group=group) for tally in tallies]


class _Tally:
    """What one model makes of this rank's images."""

    def __init__(self, model: nn.Module, *, device: torch.device, keep: bool):
        self.model, self.device, self.keep = model, device, keep
        self.counts = torch.zeros(3, dtype=torch.int64, device=device)
        self.losses = torch.zeros((), dtype=torch.float64, device=device)
        self.kept: list[tuple[np.ndarray, ...]] = []
        self.found: list[BadImage] = []

    def add(self, batch: MicroBatch, images: Tensor) -> None:
        """Counts a batch, whose `images` lie as the model does."""
        logits = self.model(images)
        labels, whole = batch.labels, slice(None)
        if batch.bad:
            self.found += batch.bad
            whole = torch.from_numpy(whole_rows(batch)).to(self.device)
        ranks = label_ranks(logits[whole], labels[whole])
        self.counts[0] += (ranks < 1).sum()
        self.counts[1] += (ranks < TOP).sum()
        self.counts[2] += len(labels)
        self.losses += F.cross_entropy(logits[whole], labels[whole], reduction="sum")
        if self.keep:
            self.kept.append(batch_predictions(batch, logits))

    def add_up(
        self, *, images: int, split: str, group: dist.ProcessGroup
    ) -> tuple[Score, Predictions | None]:
        """Returns the result over all ranks."""
        counts, losses = torch.cat([self.counts.cpu(), torch.tensor([len(self.found)])]), self.losses.cpu()
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
            bad=gather_bad(self.found, split=split, group=group) if bad else (),
        )
        return score, gather_predictions(self.kept, group=group) if self.keep else None
