"""Counter-based random numbers: a 64-bit hash of what the number is for, and nothing remembered between two.

`hash64(seed, STREAM, a, b)` walks a tree of SplitMix64 generators: each word picks the word-th output of
the generator that the words before it seeded (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators", https://doi.org/10.1145/2660193.2660195; the finaliser is David Stafford's variant 13).
Integer arithmetic alone, so the values are the same on every machine and with every release of numpy.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Words = int | NDArray[np.integer]

_MASK = (1 << 64) - 1
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Stream(IntEnum):
    """What a number is drawn for; two streams of one seed share nothing."""

    ORDER = 1
    AUGMENTATION = 2
    MIXUP_WEIGHT = 3
    PARTNERS = 4
    DROPOUT = 5
    ERASING = 6
    NOISE = 7
    MIXING = 8
    CUTMIX_WEIGHT = 9
    CUTMIX_CENTRE = 10
    OPERATIONS = 11
    STAND_IN = 12
    HELD_OUT = 13


def _unsigned(word: Words) -> NDArray[np.uint64]:
    if isinstance(word, int):
        return np.asarray(word & _MASK, dtype=np.uint64)
    return word.astype(np.uint64)


def hash64(*words: Words) -> NDArray[np.uint64]:
    """Hash integers or integer arrays, broadcast against each other, to uint64 of the broadcast shape."""
    state = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):  # numpy warns where scalars wrap round, and wrapping round is the point
        for word in words:
            state = state + (_unsigned(word) + np.uint64(1)) * _GAMMA
            state = (state ^ (state >> np.uint64(30))) * _FIRST
            state = (state ^ (state >> np.uint64(27))) * _SECOND
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state)


def uniforms(*words: Words) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), multiples of 2**-53: the upper bits of `hash64` of the same words."""
    return (hash64(*words) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw_seed(*, seed: int, step: int, micro_batch: int) -> int:
    """Seed, 0 .. 2**63 - 1, for what the network itself draws (dropout, drop-path) on one micro-batch.

    `micro_batch` counts within the step over all ranks, so the seed does not depend on the world size.
    """
    return int(hash64(seed, Stream.DROPOUT, step, micro_batch) >> np.uint64(1))
