"""Which classes a run knows, and which it takes for which: counted from its final predictions."""

from dataclasses import dataclass

import numpy as np

from launch.reporting.run_files import Guesses


@dataclass(frozen=True, slots=True)
class Class:
    """One class: its images, and how many of them were recognised at first guess."""

    name: str
    images: int
    hits: int

    @property
    def acc1(self) -> float:
        """Acc@1 in percent."""
        return 100 * self.hits / self.images


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images of one class that were taken for another."""

    name: str
    taken_for: str
    count: int
    images: int
    """All images of the class."""


def hits(guesses: Guesses) -> int:
    """Returns how many images were recognised at first guess."""
    return int((guesses.top5[:, 0] == guesses.labels).sum())


def by_class(guesses: Guesses) -> list[Class]:
    """Returns every class that has images, by its label."""
    count = len(guesses.classes)
    images = np.bincount(guesses.labels, minlength=count)
    hits = np.bincount(guesses.labels[guesses.top5[:, 0] == guesses.labels], minlength=count)
    return [
        Class(name, int(seen), int(hit))
        for name, seen, hit in zip(guesses.classes, images, hits, strict=True)
        if seen
    ]


def confusions(guesses: Guesses, *, most: int) -> list[Confusion]:
    """Returns the pairs that are confused most often, at most `most`; ties by label. Bad images are none."""
    first = guesses.top5[:, 0]
    wrong = (first != guesses.labels) & (first >= 0)
    count = len(guesses.classes)
    pairs, times = np.unique(
        guesses.labels[wrong].astype(np.int64) * count + first[wrong], return_counts=True
    )
    images = np.bincount(guesses.labels, minlength=count)
    worst = np.argsort(-times, kind="stable")[:most]
    return [
        Confusion(guesses.classes[true], guesses.classes[taken], int(times[i]), int(images[true]))
        for i in worst.tolist()
        for true, taken in [divmod(int(pairs[i]), count)]
    ]
