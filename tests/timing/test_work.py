"""Counted work against counts by hand, and against what is known of the networks."""

import pytest
from torch import nn

from launch.timing.work import Work, count_work
from rexnet.model import create_model
from rexnet.published import published


class Tiny(nn.Module):
    """A dense and a depthwise convolution, an activation and a classifier, on images of 3 x 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(3, 4, 1, bias=False)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.head = nn.Linear(4 * 64, 10, bias=False)

    def forward(self, x):
        return self.head(self.depthwise(self.dense(x).relu()).flatten(1))


def test_by_hand() -> None:
    step = count_work(Tiny, image_size=8)
    image, dense, logits = 3 * 64, 4 * 64, 10
    # forward and backward of the 1x1 convolution, whose image needs no gradient, and of the classifier
    convolution = (image + dense) + (2 * dense + image)
    classifier = (dense + logits) + (logits + dense) + (dense + logits)
    assert step.per_image.convolved == pytest.approx(convolution + classifier)
    assert step.per_image.depthwise == 2 * dense + (2 * dense + dense + dense)
    assert step.forward.depthwise == 2 * dense
    assert step.forward.flops == 2 * (64 * 3 * 4 + 256 * 10)
    assert step.parameters == 12 + 36 + 2560
    assert step.of(7) == step.per_step + step.per_image * 7
    assert step.per_image.kernels == 0 < step.per_step.kernels


def test_multiply_adds_are_those_of_the_published_networks() -> None:
    step = count_work(lambda: create_model("rexnet_1.0"), image_size=224)
    figures = published("rexnet_1.0")
    assert figures is not None
    depthwise = 0.0225e9  # multiply-adds within channels, which are not in `flops`
    assert step.forward.flops / 2 + depthwise == pytest.approx(figures.macs, rel=0.01)
    assert step.per_image.flops == pytest.approx(3 * step.forward.flops, rel=0.02)
    assert step.parameters == figures.parameters


def test_arithmetic_of_work() -> None:
    work = Work(flops=4, moved=2)
    assert (work + work) - work == work * 1 == Work(flops=4, moved=2)
