"""What a named run says of itself: where its settings come from, what it takes, what to expect. No torch."""

from dataclasses import dataclass
from typing import NamedTuple

from launch.config import Run

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of a run's steps: where its expected curve has points."""

B0_IMAGES_PER_S = 1301
B0_MACS = 390e6


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

    images: int = 1_281_167
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


def v100_hours(epochs: float, *, images: int, macs: float, gpus: int) -> float:
    """Returns the hours that a training at 224 pixels would take on V100s with perfect scaling.

    Derived by multiply-accumulates from the images/s of EfficientNet-B0 with mixed precision on one of them
    (https://github.com/NVIDIA/DeepLearningExamples, efficientnet/README.md); not measured.
    """
    return epochs * images / (B0_IMAGES_PER_S * B0_MACS / macs * gpus) / 3600


def expected_curve(recipe: Recipe) -> list[tuple[float, float]]:
    """Returns (epoch, Acc@1 in percent) at `SHARES` of the recipe's epochs; [] where nothing is expected."""
    if recipe.expected is None:
        return []
    points = zip(SHARES, recipe.expected.curve, strict=True)
    return [(share * recipe.run.epochs, acc1) for share, acc1 in points]
