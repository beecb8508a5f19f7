"""The rows of a batch in the making, and what a row shows where its own image is bad."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import plans
from pipeline.batch import BadImage, bad_image
from pipeline.config import Augmentation
from pipeline.hashing import Stream, hash64
from pipeline.index import Index
from pipeline.plans import Plan
from pipeline.reading import SoundReader

Inputs = tuple[Sequence[NDArray[Any]] | NDArray[Any], ...]
"""What the graph takes for a batch, each a sequence of B arrays or one array [B, ...]."""


class Choice(NamedTuple):
    """An image that a row may show."""

    id: int | None
    """None is black, which always decodes."""

    inputs: tuple[NDArray[Any], ...] | None = None
    """What the graph takes besides bytes, each [1, ...]; None is what the plan says of the row."""


class Row:
    """Shows the first of its choices whose bytes are sound, or a later one where that does not decode.

    Args:
        choices: in order of preference; raises ValueError where there is no further one.

    Attributes:
        encoded: bytes of the image shown, uint8 [N].
        inputs: see `Choice`.
        bad: the images that could not be shown.
    """

    __slots__ = ("_choices", "_reader", "_shown", "bad", "encoded", "inputs")

    def __init__(self, choices: Iterator[Choice], *, reader: SoundReader):
        self._choices, self._reader = choices, reader
        self.bad: list[BadImage] = []
        self._take()

    def go_on(self, fault: str) -> None:
        """Shows the next sound choice in place of the one that is shown, which has this fault."""
        self._blame(self._shown, fault)
        self._take()

    def _take(self) -> None:
        for choice in self._choices:
            found = _black() if choice.id is None else self._reader(choice.id)
            if not isinstance(found, str):
                self.encoded, self.inputs, self._shown = found, choice.inputs, choice.id
                return
            self._blame(choice.id, found)
        raise AssertionError("the last choice can be shown, or is an error")

    def _blame(self, i: int | None, fault: str) -> None:
        assert i is not None
        self.bad.append(bad_image(self._reader.index, i, fault))


def graph_inputs(plan: Plan, rows: Sequence[Row]) -> Inputs:
    """What the graph takes for a batch: the rows' bytes, and the plan's inputs but where a row has others."""
    own = [(number, row.inputs) for number, row in enumerate(rows) if row.inputs is not None]
    inputs = tuple(values.copy() for values in plan.inputs) if own else plan.inputs
    for number, replaced in own:
        for values, value in zip(inputs, replaced, strict=True):
            values[number] = value[0]
    return [row.encoded for row in rows], *inputs


def replace_undecodable(
    plan: Plan, rows: Sequence[Row], *, inputs: Inputs, check: Callable[[Inputs], list[int]]
) -> bool:
    """Makes the rows of a batch that do not decode go on until they do; returns whether there were any.

    `inputs` are the batch's, and `check` gives the rows of such inputs that do not decode. Where not even
    black does, it is no fault of the images.
    """
    wrong = check(inputs)
    if wrong and check(([_black()], *_black_inputs(plan, 0))):
        return False
    for number in wrong:
        row, undecodable = rows[number], True
        while undecodable:
            row.go_on("cannot be decoded")
            undecodable = bool(check(tuple(part[number : number + 1] for part in graph_inputs(plan, rows))))
    return bool(wrong)


def train_choices(
    plan: Plan, number: int, *, index: Index, augmentation: Augmentation, seed: int
) -> Iterator[Choice]:
    """Row `number`'s own image, then the others of its class, shuffled for this sample of this epoch.

    A stand-in is drawn with the numbers of the sample that it stands in for, on its own height and width.

    Raises:
        ValueError: there is no further image of the class.
    """
    sample, epoch = plan.ids[number : number + 1], plan.epochs[number : number + 1]
    yield Choice(int(sample[0]))
    label = index.labels[sample[0]]
    for mate in class_mates(index, int(sample[0]), seed=seed, epoch=int(epoch[0])):
        drawn = plans.sample_plan(
            index,
            augmentation=augmentation,
            seed=seed,
            epochs=epoch,
            ids=sample,
            image_size=plan.image_size,
            shown=mate[None],
        )
        yield Choice(int(mate), drawn.inputs)
    raise ValueError(
        f"not one image of class {index.classes[label]} in {index.root} can be shown; put intact copies in "
        "their place, or remove the class, which makes another data set and so another run"
    )


def class_mates(index: Index, i: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The other images of image i's class, in an order that hangs on (seed, epoch, i) alone."""
    mates = np.flatnonzero(index.labels == index.labels[i])
    mates = mates[mates != i]
    return mates[np.argsort(hash64(seed, Stream.STAND_IN, epoch, i, mates), kind="stable")]


def eval_choices(plan: Plan, number: int) -> Iterator[Choice]:
    """Row `number`'s own image, then black, which whoever counts takes for a miss."""
    yield Choice(int(plan.ids[number]))
    yield Choice(None, _black_inputs(plan, number))


def _black_inputs(plan: Plan, number: int) -> tuple[NDArray[Any], ...]:
    """One pixel at the upper left, for both graphs; the rest as planned for the row."""
    first, second, *rest = (values[number : number + 1] for values in plan.inputs)
    return np.zeros_like(first), np.ones_like(second), *rest


def _black() -> NDArray[np.uint8]:
    """A JPEG of black pixels."""
    file = BytesIO()
    Image.new("L", (16, 16)).save(file, "JPEG")
    return np.frombuffer(bytearray(file.getvalue()), np.uint8)
