"""What ImageNet-1k has (ILSVRC 2012; https://arxiv.org/abs/1409.0575, table 2), and whether data is it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.index import Index

TRAIN_IMAGES, VAL_IMAGES, CLASSES = 1_281_167, 50_000, 1000


def is_imagenet_1k(train: Index, val: Index) -> bool:
    """Whether both splits are its own, whole and with the same classes."""
    return len(train) == TRAIN_IMAGES and train.classes == val.classes and is_imagenet_1k_val(val)


def is_imagenet_1k_val(val: Index) -> bool:
    """Whether this is its validation split, whole."""
    return len(val) == VAL_IMAGES and has_its_classes(val.classes)


def has_its_classes(names: Sequence[str]) -> bool:
    """Whether these are as many WordNet ids as it has classes."""
    return len(names) == wordnet_ids(names) == CLASSES


def wordnet_ids(names: Sequence[str]) -> int:
    """Returns how many names are WordNet ids, n01440764 say."""
    return sum(bool(re.fullmatch(r"n\d{8}", name)) for name in names)
