"""A slice of the training images kept back, to choose by without looking at the validation images."""

from dataclasses import replace
from threading import Lock

import numpy as np

from pipeline.hashing import Stream, uniforms
from pipeline.index import Index
from pipeline.shards import Shards


def hold_out(index: Index, *, share: float) -> tuple[Index, Index]:
    """Returns what to train on, and about `share` of the images to evaluate on; together they are `index`.

    An image's number in the index alone decides, so that all runs on a data set choose by the same images.

    Raises:
        ValueError: too few are left on either side.
    """
    held = uniforms(0, Stream.HELD_OUT, np.arange(len(index))) < share
    missing = np.setdiff1d(index.labels[held], index.labels[~held])
    if not held.any() or missing.size:
        cause = f"all images of class {index.classes[missing[0]]}" if missing.size else "no image"
        raise ValueError(
            f"hold-out {share:g} of the {len(index)} images in {index.root} keeps back {cause}; "
            f"{'take less' if missing.size else 'take more, 0.1 say'}, or leave --hold-out away"
        )
    return _part(index, ~held), _part(index, held)


def _part(index: Index, kept: np.ndarray) -> Index:
    """The images where `kept` [N] is true, in their order."""
    lengths = np.diff(index.ends, prepend=-1)  # each with its zero byte
    sizes = lengths[kept]
    per_image = {
        name: None if (values := getattr(index, name)) is None else values[kept]
        for name in ("labels", "heights", "widths", "sizes", "channels", "formats", "orientations")
    }
    return replace(
        index,
        names=index.names[: lengths.sum()][np.repeat(kept, lengths)],
        ends=np.cumsum(sizes) - 1,
        shards=None if index.shards is None else _part_of_shards(index.shards, kept),
        **per_image,
    )


def _part_of_shards(shards: Shards, kept: np.ndarray) -> Shards:
    before = np.concatenate([[0], np.cumsum(kept)])
    return replace(shards, first=before[shards.first], offsets=shards.offsets[kept], opened={}, lock=Lock())
