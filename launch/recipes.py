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

FINETUNE = Run(
    recipe="finetune",
    init_weights="hf-hub:timm/rexnet_100.nav_in1k",
    epochs=30,
    batch=8 * 32,
    micro_batch=32,
    dropout=0.2,
    optim=Optim(lr=0.01, weight_decay=1e-4, warmup=1, label_smoothing=0.1),
    ema=Ema(half_life=1),
    augmentation=Augmentation(image_size=224, scale_min=0.35),
)
"""Begins with the authors' ImageNet weights of rexnet_1.0: a hundredth of the training recipe's rate, for the
weights to stay near what they were; short; crops and flips alone.

Another network takes its own weights: --variant rexnet_2.0 --init-weights hf-hub:timm/rexnet_200.nav_in1k.
"""

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

_CIFAR10_ACC1 = {
    "cifar10-plain": "50.9 %",
    "cifar10-cosine": "59.6 %",
    "cifar10-crop": "69.3 %",
    "cifar10": "65.2 %",
}
"""Means of three seeds, November 2026: docs/evidence.md."""

_CIFAR10 = tuple(
    Recipe(
        summary=f"ReXNet-1.0 on CIFAR-10, {run.epochs:g} epochs; see docs/evidence.md",
        run=run,
        source="from the known attempt's recipe (https://github.com/yakhyo/ReXNet) to ours in steps",
        data="/data/cifar10",
        hardware="one core of an AMD EPYC",
        hours="10 minutes of training",
        measured=f"{_CIFAR10_ACC1[run.recipe]}, three seeds: docs/evidence.md",
    )
    for run in LADDER
)

_FINETUNE = Recipe(
    summary=f"any network from trained weights on a data set of your own; {NOT_RUN}; docs/your-own-data.md",
    run=FINETUNE,
    source=(
        "SGD with Nesterov momentum, 256 images and cosine of Kornblith et al. 2019 "
        "(https://arxiv.org/abs/1805.08974); a rate of 0.01 and decay of 1e-4, usual by Li et al. 2020 "
        "(https://arxiv.org/abs/2002.11770); epochs, crops and averaging are our choice"
    ),
    data="/data/mine",
    hardware="one V100 of 16 GB",
    hours="0.1 for 10000 images, not measured",
    measured=NOT_RUN,
)

RECIPES: dict[str, Recipe] = {
    recipe.run.recipe: recipe for recipe in (_DEMO, *_CIFAR10, _FINETUNE, *IMAGENET)
}
