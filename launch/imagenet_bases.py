"""What the ImageNet recipes differ from: ours, the authors', and the known attempt's. No torch.

Learning rates are for the batch as it stands; nothing rescales them.
"""

from launch.config import Run
from launch.engine.config import Ema, Optim
from pipeline.config import Augmentation

OURS = Run(
    recipe="imagenet",
    epochs=90,
    batch=16 * 64,
    micro_batch=64,
    test_size=256,
    optim=Optim(lr=1.0, weight_decay=2e-5, warmup=5, label_smoothing=0.1),
    ema=Ema(half_life=0.5),
    augmentation=Augmentation(image_size=224, scale_min=0.2),
)
"""The base of ours: 16 x 64 images, SGD with Nesterov momentum, 5 epochs of warmup, cosine, smoothing, no
decay on norms and biases, averaged weights.

lr x weight decay per 128 images is 2.5e-6, between the 2e-6 of pycls's EfficientNet-B0 (75.1 % in 100 epochs)
and NVIDIA's ResNet-50 (https://github.com/NVIDIA/DeepLearningExamples).
"""

AUTHORS = Run(
    recipe="imagenet-400",
    epochs=400,
    batch=8 * 64,
    micro_batch=64,
    dropout=0.2,
    optim=Optim(lr=0.5, weight_decay=1e-5, warmup=5, label_smoothing=0.1),
    ema=Ema(half_life=0),
    augmentation=Augmentation(image_size=224, scale_min=0.08, rand_ops=2, erasing=0.2),
)
"""The base of the authors': their README's command (https://github.com/clovaai/rexnet), with what timm of
that time adds by default, 5 epochs of warmup as in the paper.

timm ends at a rate of 1e-5 with 10 epochs more and changes the rate once an epoch; here it falls to 0 step by
step.
"""

PLAIN = Run(
    recipe="imagenet-plain",
    epochs=90,
    batch=8 * 32,
    micro_batch=32,
    dropout=0.2,
    optim=Optim(
        lr=0.1,
        schedule="step",
        nesterov=False,
        weight_decay=1e-4,
        decay_on="all",
        warmup=0,
        label_smoothing=0.0,
    ),
    ema=Ema(half_life=0),
    augmentation=Augmentation(image_size=224, scale_min=0.08),
)
"""The base of the known attempt's recipe (https://github.com/yakhyo/ReXNet) on the authors' network."""
