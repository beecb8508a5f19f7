"""What a data set lacks that does not stop a run, but changes what its accuracy means."""

import numpy as np

from pipeline.imagenet import CLASSES, TRAIN_IMAGES, VAL_IMAGES, is_imagenet_1k, wordnet_ids
from pipeline.index import Index
from pipeline.walk import enumeration

_LIKE_IMAGENET = 900  # classes with names of WordNet: subsets of 100 or 200 are meant to be that


def what_is_missing(train: Index, val: Index) -> list[str]:
    """Returns a line for each: classes without validation images, and an ImageNet-1k that is not whole."""
    lines = []
    without = np.flatnonzero(np.bincount(val.labels, minlength=len(train.classes)) == 0)
    if len(without):
        names = enumeration([train.classes[i] for i in without])
        lines.append(
            f"{val.root} has no images of {len(without)} of the {len(train.classes)} classes: {names}; the "
            "accuracy will be over the others alone"
        )
    if wordnet_ids(train.classes) >= _LIKE_IMAGENET and not is_imagenet_1k(train, val):
        lines.append(
            f"this looks like ImageNet-1k, but is not whole: {len(train.classes)} of {CLASSES} classes, "
            f"{len(train)} of {TRAIN_IMAGES} training images, {len(val)} of {VAL_IMAGES} validation images; "
            "so no official figure will stand beside it. Add what is missing, and the next start finds it"
        )
    return lines
