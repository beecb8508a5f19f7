"""Networks whose speed on V100s is published, to hold the arithmetic of launch/timing against.

Layers as in https://arxiv.org/abs/1512.03385 (with the stride in the 3x3 convolution, "v1.5") and
https://arxiv.org/abs/1905.11946; weights do not matter here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(taken: int, made: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(taken, made, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(made)
    )


class Bottleneck(nn.Module):
    def __init__(self, taken: int, width: int, *, stride: int):
        super().__init__()
        self.reduce = _conv(taken, width, 1)
        self.mix = _conv(width, width, 3, stride=stride)
        self.expand = _conv(width, 4 * width, 1)
        same = stride == 1 and taken == 4 * width
        self.shortcut = nn.Identity() if same else _conv(taken, 4 * width, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.mix(F.relu(self.reduce(x), inplace=True)), inplace=True)
        return F.relu(self.expand(inner) + self.shortcut(x), inplace=True)


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [_conv(3, 64, 7, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    taken = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            layers.append(Bottleneck(taken, width, stride=2 if stage and not block else 1))
            taken = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, 1000))


class Squeeze(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3), keepdim=True)))))


class MBConv(nn.Module):
    def __init__(self, taken: int, made: int, *, kernel: int, stride: int, expansion: int, drop: float):
        super().__init__()
        width = taken * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv(taken, width, 1), nn.SiLU()]
        layers += [_conv(width, width, kernel, stride=stride, groups=width), nn.SiLU()]
        self.inner = nn.Sequential(*layers, Squeeze(width, taken // 4), _conv(width, made, 1))
        self.same, self.drop = stride == 1 and taken == made, drop

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        if not self.same:
            return out
        keep = torch.ones(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
        return out / (1 - self.drop) * keep + x if self.training else out + x


def efficientnet(width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """B0 by default; B1 is (1.0, 1.1), B2 (1.1, 1.2), B3 (1.2, 1.4)."""

    def channels(number: int) -> int:
        rounded = max(8, int(number * width + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * number * width else rounded

    taken = channels(32)
    layers: list[nn.Module] = [_conv(3, taken, 3, stride=2), nn.SiLU()]
    stages = ((1, 16, 1, 1, 3), (2, 24, 2, 6, 3), (2, 40, 2, 6, 5), (3, 80, 2, 6, 3))
    for blocks, made, stride, expansion, kernel in (
        *stages,
        *((3, 112, 1, 6, 5), (4, 192, 2, 6, 5), (1, 320, 1, 6, 3)),
    ):
        for block in range(math.ceil(blocks * depth)):
            layers.append(
                MBConv(
                    taken,
                    channels(made),
                    kernel=kernel,
                    stride=1 if block else stride,
                    expansion=expansion,
                    drop=0.2,
                )
            )
            taken = channels(made)
    head = channels(1280)
    layers += [_conv(taken, head, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(head, 1000))
