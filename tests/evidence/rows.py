"""What is trained on CIFAR-10: choices on held-out images, the ladder of recipes, and one control."""

from dataclasses import dataclass

from launch.cifar10_recipes import CIFAR10, COSINE, CROP, LADDER, PLAIN
from launch.config import Run

SEEDS = (0, 1, 2)
CHOICE_SEED = 100
CHOICE_HOLD_OUT = 0.1
HOLD_OUT = 0.01
"""Of the runs that are reported: so the validation images are looked at once, with the last weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A setting that is chosen by the images held out, before anything is reported."""

    name: str
    recipe: Run
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    title: str
    recipe: Run


LR = Choice(name="lr", recipe=PLAIN, values=(0.05, 0.1, 0.2))
"""Of plain; all rows take it, so that ours is not helped by a learning rate of its own."""

SCALE_MIN = Choice(name="scale-min", recipe=CROP, values=(0.2, 0.45, 0.7))

CHOICES = (LR, SCALE_MIN)

TITLES = {
    PLAIN.recipe: "plain",
    COSINE.recipe: "+ cosine, warmup, Nesterov, smoothing, no decay on norms",
    CROP.recipe: "+ augmentation for a short run: milder crops",
    CIFAR10.recipe: "+ growing images and EMA",
}

ROWS = tuple(Row(name=run.recipe, title=TITLES[run.recipe], recipe=run) for run in LADDER)

CONTROL = Row(
    name="control",
    title="control: plain with the crops of the third row",
    recipe=PLAIN,
)
"""How much of the whole difference is due to the crops alone."""
