"""The size of training images as a function of the step. No torch, no numpy."""

from collections.abc import Iterator

from pipeline.config import Augmentation


def image_sizes(augmentation: Augmentation) -> list[int]:
    """Sides in pixels, in the order in which a run comes to them; the last one is `image_size`.

    >>> image_sizes(Augmentation(start_size=128, image_size=224, size_step=32))
    [128, 160, 192, 224]
    """
    start, end = augmentation.start_size or augmentation.image_size, augmentation.image_size
    return [*range(start, end, augmentation.size_step), end]


def image_size(augmentation: Augmentation, *, step: int, steps: int) -> int:
    """Returns the side of the images of optimizer step `step`, counted from 0, of a run of `steps`.

    The sizes below the full one share the steps up to `full_size_from` of the run evenly; the rest is at full
    size, for networks do best at a size near the one that they were trained at last
    (https://arxiv.org/abs/1906.06423; growing sizes: https://arxiv.org/abs/2104.00298 section 4).

    >>> growing = Augmentation(start_size=32, image_size=48, size_step=8, full_size_from=0.6)
    >>> [image_size(growing, step=step, steps=10) for step in range(10)]
    [32, 32, 32, 40, 40, 40, 48, 48, 48, 48]
    """
    *smaller, full = image_sizes(augmentation)
    for k, size in enumerate(smaller, 1):
        if step < int(steps * augmentation.full_size_from * k / len(smaller)):
            return size
    return full


def shares(augmentation: Augmentation) -> Iterator[tuple[int, float]]:
    """Yields each size with its share of a long run's images."""
    *smaller, full = image_sizes(augmentation)
    for size in smaller:
        yield size, augmentation.full_size_from / len(smaller)
    yield full, 1 - augmentation.full_size_from * bool(smaller)
