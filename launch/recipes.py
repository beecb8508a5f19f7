"""The runs that have a name. No torch.

Each says where its settings come from, what it takes and what to expect: `launch/recipe.py` has the form,
docs/recipes.md the table.
"""

from launch.cifar10_recipes import LADDER
from launch.config import Run
from launch.engine.config import Ema, Keeping, Optim
from launch.imagenet_recipes import IMAGENET, NOT_RUN
from launch.recipe import Recipe
from pipeline.config import Augmentation, Evaluation

DEMO = Run(
    recipe="demo",
    epochs=5,
    batch=32,
    micro_batch=32,
    dropout=0.1,
    optim=Optim(lr=0.1, weight_decay=2e-5, warmup=1),
    ema=Ema(half_life=0.25),
    augmentation=Augmentation(image_size=64, scale_min=0.6),
    evaluation=Evaluation(crop_ratio=1.0),
    keeping=Keeping(log_every=25),
)

_CORES = "two cores of an AMD EPYC"

_DEMO = Recipe(
    summary="ReXNet-1.0 on the embedded sample set of drawn shapes, a few minutes on two CPU cores",
    run=DEMO,
    source="made so that a few minutes show learning",
    data="",
    hardware=_CORES,
    hours="a few minutes",
    measured="99.7 %, one run of seed 0, torch 2.13.0, DALI 2.2.0, November 2026",
)

_CIFAR10 = tuple(
    Recipe(
        summary=f"ReXNet-1.0 on CIFAR-10, {run.epochs:g} epochs; see docs/evidence.md",
        run=run,
        source="from the known attempt's recipe (https://github.com/yakhyo/ReXNet) to ours in steps",
        data="/data/cifar10",
        hardware="one core of an AMD EPYC",
        hours="10 minutes, not measured",
        measured=NOT_RUN,
    )
    for run in LADDER
)

RECIPES: dict[str, Recipe] = {recipe.run.recipe: recipe for recipe in (_DEMO, *_CIFAR10, *IMAGENET)}
