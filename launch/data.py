"""The splits of a data set as a training uses them, and the figures that may stand beside its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.index import Index
from rexnet.published import Published, published


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """The splits of a data set, and whether they are ImageNet-1k's."""

    train: Index
    val: Index

    held: Index | None = None
    """What of the training images was kept back to choose by."""

    is_imagenet: bool = False
    """Whether published accuracies may stand beside ours."""

    @property
    def train_images(self) -> int:
        """Of the training split, those held out with it."""
        return len(self.train) + (0 if self.held is None else len(self.held))

    def published(self, variant: str) -> Published | None:
        """Returns the figures that others published of a network; None where the data is not ImageNet-1k."""
        return published(variant) if self.is_imagenet else None

    def references(self, variant: str) -> dict[str, float]:
        """Returns the published accuracies that stand beside ours; none where the data is not ImageNet-1k."""
        figures = self.published(variant)
        if figures is None:
            return {}
        known = {"official/acc1": figures.acc1, "official/acc5": figures.acc5}
        return known if figures.earlier_acc1 is None else {**known, "earlier/acc1": figures.earlier_acc1}


def outputs(asked: int | None, *, folders: Sequence[str], split: Path) -> int:
    """Returns how many classes the network tells apart: as many as asked for, else as there are folders.

    Raises:
        ValueError: there are more.
    """
    there = len(folders)
    if asked is not None and asked < there:
        raise ValueError(f"num-classes is {asked}, but {split} has {there} class folders; leave it out")
    return asked or there


def output_names(folders: Sequence[str], *, outputs: int) -> tuple[str, ...]:
    """Returns a name for each output: its class folder's, then `class 7` of those that have none."""
    return (*folders, *(f"class {i}" for i in range(len(folders), outputs)))
