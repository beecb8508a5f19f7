"""ReXNet, as its authors define it.

Sources: Han et al., CVPR 2021 (https://arxiv.org/abs/2007.00992); the authors' network
(https://github.com/clovaai/rexnet, rexnetv1.py), whose outputs, loss and gradients the tests compare with.
Three points that re-implementations miss: no activation follows the projection; none stands between the
depthwise convolution's norm and squeeze-excitation; a squeeze is convolution, norm, ReLU, convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rexnet.channels import BlockShape, network_shape, variant_width


class ConvNorm(nn.Module):
    """A convolution without bias, then BatchNorm. [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class SqueezeExcite(nn.Module):
    """Scales channels by a gate computed from their means (https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int, *, squeeze: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.norm = nn.BatchNorm2d(squeeze)
        self.expand = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.relu(self.norm(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return x * self.expand(gate).sigmoid()


class Bottleneck(nn.Module):
    """An inverted bottleneck with a partial shortcut: the input joins the first `inputs` channels only."""

    def __init__(self, shape: BlockShape, *, drop_path: float):
        super().__init__()
        self.inputs = shape.inputs
        self.shortcut = shape.shortcut
        self.drop_path = drop_path
        self.expand = ConvNorm(shape.inputs, shape.hidden) if shape.expansion > 1 else None
        self.depthwise = ConvNorm(
            shape.hidden, shape.hidden, kernel=3, stride=shape.stride, groups=shape.hidden
        )
        self.excite = SqueezeExcite(shape.hidden, squeeze=shape.squeeze) if shape.squeeze else None
        self.project = ConvNorm(shape.hidden, shape.outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.silu(self.expand(x))
        y = self.depthwise(y)
        if self.excite is not None:
            y = self.excite(y)
        y = self.project(F.relu6(y))
        if not self.shortcut:
            return y
        if self.training and self.drop_path > 0:
            y = drop_path(y, probability=self.drop_path)
        return torch.cat([y[:, : self.inputs] + x, y[:, self.inputs :]], dim=1)


class ReXNet(nn.Module):
    """ReXNet at one width.

    Args:
        width: multiplies all channel counts.
        num_classes: outputs of the classifier.
        dropout: probability of dropping a feature before the classifier.
        drop_path: probability of dropping the last block's branch; earlier blocks' rises to it in a line.

    Maps images [B, 3, H, W], normalised by the mean and deviation of ImageNet, to logits [B, num_classes].
    """

    def __init__(
        self, *, width: float, num_classes: int = 1000, dropout: float = 0.2, drop_path: float = 0.0
    ):
        super().__init__()
        shape = network_shape(width)
        self.stem = ConvNorm(3, shape.stem, kernel=3, stride=2)
        last = len(shape.blocks) - 1
        self.blocks = nn.Sequential(
            *(Bottleneck(block, drop_path=drop_path * i / last) for i, block in enumerate(shape.blocks))
        )
        self.head = ConvNorm(shape.blocks[-1].outputs, shape.penultimate)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(shape.penultimate, num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """Maps images [B, 3, H, W] to the last feature map [B, penultimate, H/32, W/32]."""
        return F.silu(self.head(self.blocks(F.silu(self.stem(images)))))

    def forward(self, images: Tensor) -> Tensor:
        features = F.adaptive_avg_pool2d(self.forward_features(images), 1).flatten(1)
        return self.classifier(self.dropout(features))


def drop_path(branch: Tensor, *, probability: float) -> Tensor:
    """Drops a residual branch [B, ...] per sample, scaling what stays by 1 / (1 - probability).

    Source: stochastic depth, https://arxiv.org/abs/1603.09382.
    """
    keep = 1 - probability
    mask = branch.new_empty(branch.shape[0], *(1,) * (branch.ndim - 1)).bernoulli_(keep)
    return branch * mask.div_(keep)


def create_model(
    variant: str, *, num_classes: int = 1000, dropout: float = 0.2, drop_path: float = 0.0
) -> ReXNet:
    """Returns a freshly initialised network by its name, `rexnet_1.0` say.

    Raises:
        ValueError: there is no such network.
    """
    return ReXNet(width=variant_width(variant), num_classes=num_classes, dropout=dropout, drop_path=drop_path)
