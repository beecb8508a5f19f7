"""The order of training images: one endless stream, shuffled afresh every epoch, computed and not stored.

Each epoch is a keyed permutation of 0 .. N-1: the generalised Feistel cipher with cycle walking of Black and
Rogaway 2002, "Ciphers with arbitrary finite domains" (https://doi.org/10.1007/3-540-45760-7_9), whose round
function is our hash. Any position is found without the others, so a run starts anywhere at no cost.
"""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.hashing import Stream, hash64

Places = NDArray[np.int64]

_ROUNDS = 8  # even; as many keep the permutations of a handful of images apart


def permute(values: Places, *, seed: int, epoch: Places, count: int) -> Places:
    """Apply each epoch's permutation of 0 .. count-1 to values [B], with `epoch` [B], and give int64 [B]."""
    columns = isqrt(count - 1) + 1
    rows = -(-count // columns)  # columns * rows is count or a little more
    key = hash64(seed, Stream.ORDER, epoch)
    walked = values.astype(np.int64)
    left = np.arange(walked.size)
    while left.size:  # a value outside 0 .. count-1 goes round again: its cycle leads back inside
        low, high = walked[left] % columns, walked[left] // columns
        for turn in range(0, _ROUNDS, 2):
            low = (low + _below(hash64(key[left], turn, high), columns)) % columns
            high = (high + _below(hash64(key[left], turn + 1, low), rows)) % rows
        walked[left] = high * columns + low
        left = left[walked[left] >= count]
    return walked


def _below(hashed: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    return (hashed % np.uint64(limit)).astype(np.int64)


def at(positions: Places, *, seed: int, count: int) -> tuple[Places, Places]:
    """Epochs [B] and image numbers [B], int64, at positions [B] of the stream over `count` images."""
    epoch = positions // count
    return epoch, permute(positions % count, seed=seed, epoch=epoch, count=count)
