"""What a named run says of itself: where its settings come from, what it takes, what to expect. No torch."""

from dataclasses import dataclass
from typing import NamedTuple

from launch.config import Run
from pipeline.growing import shares
from pipeline.imagenet import TRAIN_IMAGES

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of a run's steps: where its expected curve has points."""

V100_IMAGES_PER_S = {
    **{"rexnet_1.0": 1157, "rexnet_1.3": 870, "rexnet_1.5": 770},
    **{"rexnet_2.0": 573, "rexnet_2.2": 513, "rexnet_3.0": 366},
}
"""Of one V100 in fp16, 64 images of 224 pixels at a time: on paper, by launch/timing; docs/performance.md."""

_SMALLEST = 128  # pixels; below, launches bind more than what is launched


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What a recipe is expected to reach, Acc@1 in percent at the headline size."""

    low: float
    high: float
    source: str
    """What the range is argued from."""

    curve: tuple[float, float, float, float]
    """Acc@1 of the evaluated weights at `SHARES` of the run."""

    curve_source: str
    """What its points are argued from."""

    images: int = TRAIN_IMAGES
    """Of the training split that this is of; of another one nothing is expected."""


class Recipe(NamedTuple):
    """A run that has a name."""

    summary: str
    """One line for --list."""

    run: Run

    source: str
    """Where its settings come from."""

    data: str
    """What to type after --data."""

    hardware: str
    """What its hours are of."""

    hours: str

    measured: str
    """Its result, or that it has not been run yet."""

    expected: Expected | None = None

    @property
    def command(self) -> str:
        """What to type on one machine."""
        launcher = "torchrun --nproc-per-node=gpu" if "V100" in self.hardware else "torchrun"
        data = f" --data {self.data}" if self.data else ""
        return f"{launcher} launch/train.py {self.run.recipe}{data}"

    @property
    def batch(self) -> str:
        """The effective batch as a product: micro-batches x images."""
        run = self.run
        assert run.micro_batch
        return f"{run.batch // run.micro_batch} x {run.micro_batch} = {run.batch}"


def v100_rate(run: Run) -> float | None:
    """Returns the images per second that one V100 would train, by `V100_IMAGES_PER_S`; None where unknown.

    Not measured; work grows with the pixels.
    """
    rate = V100_IMAGES_PER_S.get(run.variant)
    if rate is None or run.augmentation.image_size < _SMALLEST:
        return None
    return rate / sum(share * (size / 224) ** 2 for size, share in shares(run.augmentation))


def expected_curve(recipe: Recipe) -> list[tuple[float, float]]:
    """Returns (epoch, Acc@1 in percent) at `SHARES` of the recipe's epochs; [] where nothing is expected."""
    if recipe.expected is None:
        return []
    points = zip(SHARES, recipe.expected.curve, strict=True)
    return [(share * recipe.run.epochs, acc1) for share, acc1 in points]
