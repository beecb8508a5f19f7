"""ReXNet-1.0 on CIFAR-10, in four steps from the known recipe to ours. No torch.

Each step changes what its name says and nothing else, so that docs/evidence.md can tell what it is worth. All
have the learning rate that suits the first one best, and epochs that take ten minutes on one core of the same
machine; `python -m tests.evidence` has found both.
"""

from dataclasses import replace

from launch import imagenet_bases
from launch.engine.config import Ema
from pipeline.config import Evaluation

PLAIN = replace(
    imagenet_bases.PLAIN,
    recipe="cifar10-plain",
    epochs=2.35,
    batch=64,
    micro_batch=64,
    dropout=0.0,
    optim=replace(imagenet_bases.PLAIN.optim, lr=0.05),
    augmentation=replace(imagenet_bases.PLAIN.augmentation, image_size=48),
    evaluation=Evaluation(crop_ratio=1.0),
)
"""The recipe of the known 90-epoch attempt, short, of 48 pixels and without dropout."""

COSINE = replace(
    PLAIN,
    recipe="cifar10-cosine",
    epochs=2.52,
    optim=replace(
        PLAIN.optim, schedule="cosine", nesterov=True, warmup=0.2, label_smoothing=0.1, decay_on="weights"
    ),
)
"""With cosine, warmup, Nesterov's momentum, label smoothing, and no decay on norms and biases."""

CROP = replace(
    COSINE, recipe="cifar10-crop", epochs=2.51, augmentation=replace(COSINE.augmentation, scale_min=0.7)
)
"""With augmentation for so short a run: milder crops, as our ImageNet recipes of small networks have."""

CIFAR10 = replace(
    CROP,
    recipe="cifar10",
    epochs=3.05,
    ema=Ema(half_life=0.15),
    augmentation=replace(CROP.augmentation, start_size=32, size_step=8, full_size_from=0.6),
)
"""With images that grow from 32 to 48 pixels, which leaves time for more of them, and averaged weights."""

LADDER = (PLAIN, COSINE, CROP, CIFAR10)
