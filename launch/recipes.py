"""The runs that have a name. No torch.

An effective batch stands as a product: micro-batches x images. Expected accuracies are estimates from
published results of networks of the same size until a run replaces them; none of the ImageNet recipes has
been run yet. Those of `demo` (99.7 %) and `cifar10` (76.37 %) are of one run each, seed 0, torch 2.13.0 and
DALI 2.2.0 on two cores of an AMD EPYC, November 2026.
"""

from dataclasses import replace

from launch.cifar10_recipes import LADDER
from launch.config import Run
from launch.engine.config import Ema, Keeping, Optim
from pipeline.config import Augmentation, Evaluation

_IMAGENET = Run(
    recipe="imagenet",
    epochs=90,
    batch=16 * 64,
    micro_batch=64,
    optim=Optim(lr=1.0, weight_decay=2e-5, warmup=5, label_smoothing=0.1),
    ema=Ema(half_life=0.5),
    augmentation=Augmentation(image_size=224, scale_min=0.2),
)
"""The base of the ImageNet recipes: 16 x 64 images, SGD with Nesterov momentum, 5 epochs of warmup, cosine.

lr x weight decay per 128 images is 2.5e-6, between the 2e-6 of pycls's EfficientNet-B0 (75.1 % in 100 epochs,
https://github.com/facebookresearch/pycls MODEL_ZOO.md) and NVIDIA's ResNet-50.
"""


def _imagenet(
    width: str,
    *,
    scale_min: float,
    dropout: float,
    drop_path: float = 0.0,
    mixup: float = 0.0,
    micro_batch: int = 64,
) -> Run:
    return replace(
        _IMAGENET,
        recipe=f"rexnet_{width}",
        variant=f"rexnet_{width}",
        micro_batch=micro_batch,
        dropout=dropout,
        drop_path=drop_path,
        augmentation=replace(_IMAGENET.augmentation, scale_min=scale_min, mixup=mixup),
    )


RECIPES: dict[str, tuple[str, Run]] = {
    "demo": (
        "ReXNet-1.0 on the embedded sample set of drawn shapes, a few minutes on two CPU cores",
        Run(
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
        ),
    ),
    **{run.recipe: (f"ReXNet-1.0 on CIFAR-10, {run.epochs:g} epochs", run) for run in LADDER},
    "rexnet_1.0": (
        "ImageNet, 90 epochs; expected 75.3 to 76.2 %, not yet run",
        _imagenet("1.0", scale_min=0.2, dropout=0.1),
    ),
    "rexnet_1.3": (
        "ImageNet, 90 epochs; expected 76.6 to 77.6 %, not yet run",
        _imagenet("1.3", scale_min=0.2, dropout=0.2),
    ),
    "rexnet_1.5": (
        "ImageNet, 90 epochs; expected 77.3 to 78.3 %, not yet run",
        _imagenet("1.5", scale_min=0.1, dropout=0.2, drop_path=0.05),
    ),
    "rexnet_2.0": (
        "ImageNet, 90 epochs; expected 78.5 to 79.5 %, not yet run",
        _imagenet("2.0", scale_min=0.08, dropout=0.2, drop_path=0.1, mixup=0.1),
    ),
    "rexnet_2.2": (
        "ImageNet, 90 epochs; expected 78.7 to 79.7 %, not yet run",
        _imagenet("2.2", scale_min=0.08, dropout=0.2, drop_path=0.1, mixup=0.1),
    ),
    "rexnet_3.0": (
        "ImageNet, 90 epochs; expected 79.4 to 80.5 %, not yet run",
        _imagenet("3.0", scale_min=0.08, dropout=0.3, drop_path=0.15, mixup=0.2, micro_batch=32),
    ),
}
