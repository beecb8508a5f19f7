"""ReXNet and ReXNet-lite, as their authors define them.

Sources: Han et al., CVPR 2021 (https://arxiv.org/abs/2007.00992); the authors' networks
(https://github.com/clovaai/rexnet), whose outputs, losses and gradients the tests compare with.
Three points that re-implementations miss: no activation follows the projection; none stands between the
depthwise convolution's norm and squeeze-excitation; a squeeze is convolution, norm, ReLU, convolution.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rexnet.aligned import aligned
from rexnet.channels import BlockShape, NetworkShape, round_up, variant_shape
from rexnet.folding import fold, fold_layers, is_folded
from rexnet.relu6 import gated_relu6, relu6
from rexnet.weights import class_count, load_weights, read_state


class ConvNorm(nn.Module):
    """A convolution without bias, then BatchNorm. [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class SqueezeExcite(nn.Module):
    """Logits [B, channels] of the gates of maps [B, channels, H, W], from the channels' means.

    Source: https://arxiv.org/abs/1709.01507. The means are vectors, so the authors' 1x1 convolutions are
    matrix products here: the same sums, for which libraries need less time.
    """

    def __init__(self, channels: int, *, squeeze: int):
        super().__init__()
        self.reduce = nn.Linear(channels, squeeze)
        self.norm = nn.BatchNorm1d(squeeze)
        self.expand = nn.Linear(squeeze, channels)

    def forward(self, x: Tensor) -> Tensor:
        means = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.expand(F.relu(self.norm(self.reduce(means))))


class Bottleneck(nn.Module):
    """An inverted bottleneck with a partial shortcut: the input joins the first `inputs` channels only."""

    def __init__(
        self, shape: BlockShape, *, align: int, activation: Callable[[Tensor], Tensor], drop_path: float
    ):
        super().__init__()
        self.shape = shape
        self.drop_path = drop_path
        self.activation = activation
        inputs, hidden, squeeze, outputs = (
            round_up(count, align) for count in (shape.inputs, shape.hidden, shape.squeeze, shape.outputs)
        )
        self.expand = ConvNorm(inputs, hidden) if shape.hidden > shape.inputs else None
        self.depthwise = ConvNorm(hidden, hidden, kernel=3, stride=shape.stride, groups=hidden)
        self.excite = SqueezeExcite(hidden, squeeze=squeeze) if shape.squeeze else None
        self.project = ConvNorm(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.activation(self.expand(x))
        y = self.depthwise(y)
        y = self.project(relu6(y) if self.excite is None else gated_relu6(y, self.excite(y)))
        if not self.shape.shortcut:
            return y
        if self.training and self.drop_path > 0:
            y = drop_path(y, probability=self.drop_path)
        joined = self.shape.inputs
        return torch.cat([y[:, :joined] + x[:, :joined], y[:, joined:]], dim=1)


class ReXNet(nn.Module):
    """One network of the family. Maps normalised images [B, 3, H, W] to logits [B, num_classes].

    Initialised as PyTorch does by default, which is how the authors trained, in half precision too: U(-b, b)
    with b = 1 / sqrt(fan-in). A norm follows every convolution, so weights' size does not reach the
    activations; docs/network.md has what that gives in float16.

    Args:
        shape: its channel counts.
        num_classes: outputs of the classifier.
        dropout: probability of dropping a feature before the classifier.
        drop_path: probability of dropping the last block's branch; earlier blocks' rises to it in a line.
        align: every channel count but the penultimate is rounded up to a multiple of it. The function
            stays the same only where the weights of the added channels are zero: `create_model` sees to it.
    """

    def __init__(
        self,
        shape: NetworkShape,
        *,
        num_classes: int = 1000,
        dropout: float = 0.2,
        drop_path: float = 0.0,
        align: int = 1,
    ):
        super().__init__()
        self.shape = shape
        self.activation = F.silu if shape.activation == "silu" else relu6
        self.stem = ConvNorm(3, round_up(shape.stem, align), kernel=3, stride=2)
        last = len(shape.blocks) - 1
        self.blocks = nn.ModuleList(
            Bottleneck(block, align=align, activation=self.activation, drop_path=drop_path * i / last)
            for i, block in enumerate(shape.blocks)
        )
        self.head = ConvNorm(round_up(shape.blocks[-1].outputs, align), shape.penultimate)
        self.neck = nn.Linear(shape.penultimate, shape.neck) if shape.neck else None
        self.neck_norm = nn.BatchNorm1d(shape.neck) if shape.neck else None
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(shape.features, num_classes)

    @property
    def map_channels(self) -> tuple[int, ...]:
        """Channels of the maps that `forward_maps` returns."""
        return tuple(self.shape.blocks[i].outputs for i in self._map_blocks())

    def forward_maps(self, images: Tensor) -> list[Tensor]:
        """Maps images [B, 3, H, W] to the last map of each stride, for a detector or a segmenter.

        Returns [B, map_channels[k], H / 2^(k+1), W / 2^(k+1)] for k from 0 to 4.
        """
        maps, kept = [], self._map_blocks()
        x = self.activation(self.stem(images))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in kept:
                maps.append(x[:, : self.shape.blocks[i].outputs])
        return maps

    def forward_features(self, images: Tensor) -> Tensor:
        """Maps images [B, 3, H, W] to the last feature map [B, penultimate, H/32, W/32]."""
        x = self.activation(self.stem(images))
        for block in self.blocks:
            x = block(x)
        return self.activation(self.head(x))

    def forward(self, images: Tensor) -> Tensor:
        features = F.adaptive_avg_pool2d(self.forward_features(images), 1).flatten(1)
        if self.neck is not None and self.neck_norm is not None:
            features = self.activation(self.neck_norm(self.neck(features)))
        return self.classifier(self.dropout(features))

    def _map_blocks(self) -> list[int]:
        blocks = self.shape.blocks
        return [i for i in range(len(blocks)) if i + 1 == len(blocks) or blocks[i + 1].stride == 2]


def drop_path(branch: Tensor, *, probability: float) -> Tensor:
    """Drops a residual branch [B, ...] per sample, scaling what stays by 1 / (1 - probability).

    Source: stochastic depth, https://arxiv.org/abs/1603.09382.
    """
    keep = 1 - probability
    mask = branch.new_empty(branch.shape[0], *(1,) * (branch.ndim - 1)).bernoulli_(keep)
    return branch * mask.div_(keep)


def create_model(
    variant: str,
    *,
    num_classes: int | None = None,
    weights: Path | str | Mapping[str, Tensor] | None = None,
    dropout: float = 0.2,
    drop_path: float = 0.0,
    align: int = 1,
) -> ReXNet:
    """Returns a network by its name: `rexnet_1.0`, `rexnet_lite_1.3`, or of any other width.

    It maps images [B, 3, H, W], at least 32 pixels a side, in RGB from 0 to 1 and normalised with
    `rexnet.metadata.MEAN` and `DEVIATION`, to logits [B, num_classes]. It comes in training mode, but folded
    weights give a network in evaluation mode, which is all it is for.

    Args:
        variant: its name; `rexnet.published.published_variants()` lists those that the authors trained.
        num_classes: outputs of the classifier. None: as many as the weights have, or 1000.
        weights: a file or state dict in one of the layouts of `load_weights`; None initialises.
        dropout: probability of dropping a feature before the classifier.
        drop_path: probability of dropping the last residual branch.
        align: computes the same function on channel counts rounded up to its multiples: 8 is what half
            precision's matrix units want. The state dict stays the one of align 1.

    Raises:
        ValueError: there is no such network, or the weights are of another.
        FileNotFoundError: there is no such file.

    >>> model = create_model("rexnet_1.0", num_classes=10).eval()
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in create_model("rexnet_1.0").parameters())
    4796873
    """
    shape = variant_shape(variant)
    if num_classes is None:
        num_classes = 1000 if weights is None else class_count(weights, shape)
    model = ReXNet(shape, num_classes=num_classes, dropout=dropout, drop_path=drop_path)
    folded = weights is not None and is_folded(read_state(weights))
    if folded:
        fold(model)
    if weights is not None:
        load_weights(model, weights)
    if align == 1:
        return model
    with torch.device("meta"):
        wider = ReXNet(shape, num_classes=num_classes, dropout=dropout, drop_path=drop_path, align=align)
    return aligned(fold_layers(wider) if folded else wider, model)
