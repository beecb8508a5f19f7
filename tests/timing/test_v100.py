"""The arithmetic of V100s against published rates: NVIDIA's, timm's author's and pycls's.

NVIDIA: DeepLearningExamples, PyTorch/Classification/ConvNets, READMEs of resnet50v1.5 and efficientnet, NGC
21.03. Left out beforehand: the rows of widese-b0 and b4 on one V100-32GB (281/603 and 36/89 images/s), which
by the table scale 17-fold on 8 GPUs. pycls: MODEL_ZOO.md, 100 epochs on 8 V100 in fp32, evaluations included.
"""

from collections.abc import Callable
from functools import cache

import pytest

from launch.recipe import V100_IMAGES_PER_S
from launch.timing import v100
from launch.timing.v100 import Arithmetic
from launch.timing.work import StepWork, count_work
from rexnet.model import create_model
from tests.timing.peers import efficientnet, resnet50

IMAGES, SCORED = 1_281_167, 50_000
SHAPES = {"b0": (1.0, 1.0, 224), "b1": (1.0, 1.1, 240), "b2": (1.1, 1.2, 260), "b3": (1.2, 1.4, 300)}


@cache
def work_of(name: str) -> StepWork:
    if name == "resnet50":
        return count_work(resnet50, image_size=224)
    width, depth, size = SHAPES[name]
    return count_work(lambda: efficientnet(width, depth), image_size=size)


def rate(name: str, *, images: int, precision: Arithmetic) -> float:
    """Images/s of one V100 by our arithmetic."""
    return images / v100.step_seconds(work_of(name), images=images, precision=precision)


@pytest.mark.parametrize(
    ("images", "precision", "published"),
    [(128, "fp32", 655), (128, "fp16", 1301), (256, "fp32", 646), (256, "fp16", 1401)],
    ids=["16 GB fp32", "16 GB fp16", "32 GB fp32", "32 GB fp16"],
)
def test_efficientnet_b0_on_one_gpu(images: int, precision: Arithmetic, published: float) -> None:
    """No constant was fitted to these."""
    assert rate("b0", images=images, precision=precision) == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(
    ("precision", "published"), [("fp32", 4672), ("fp16", 7789)], ids=["8 x 16 GB fp32", "8 x 16 GB fp16"]
)
def test_efficientnet_b0_on_eight_gpus(precision: Arithmetic, published: float) -> None:
    """A DGX-1: eight times the GPU, unless its 40 cores decode more slowly."""
    found = min(8 * rate("b0", images=128, precision=precision), 40 * v100.DECODING)
    assert found == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(
    "variant",
    [v if v == "rexnet_1.0" else pytest.param(v, marks=pytest.mark.slow) for v in V100_IMAGES_PER_S],
)
def test_the_recipes_rates_are_this_arithmetics(variant: str) -> None:
    work = count_work(lambda: create_model(variant, align=8), image_size=224)
    found = 64 / v100.step_seconds(work, images=64, precision="fp16")
    assert round(found) == V100_IMAGES_PER_S[variant]


def test_known_networks() -> None:
    assert work_of("resnet50").parameters == 25_557_032
    assert work_of("b0").parameters == 5_288_548


@pytest.mark.slow
def test_the_constants_are_what_the_published_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-50 on a V100-16GB for the two rates of arithmetic, pycls's B1 to B3 for the depthwise rate."""

    def flops(precision: Arithmetic, *, images: int, published: float) -> float:
        def faster(value: float) -> bool:
            monkeypatch.setitem(v100.FLOPS, precision, value)
            return rate("resnet50", images=images, precision=precision) > published

        return _threshold(faster, low=1e12, high=125e12)

    assert flops("fp32", images=128, published=367) == pytest.approx(13.4e12, rel=0.005)
    assert flops("fp16", images=256, published=1200) == pytest.approx(63.6e12, rel=0.005)

    def depthwise(name: str, *, hours: float) -> float:
        def faster(value: float) -> bool:
            monkeypatch.setattr(v100, "DEPTHWISE", value)
            monkeypatch.setattr(v100, "HOST", 0.0)  # of pycls's hosts nothing is known
            epoch = IMAGES / rate(name, images=32, precision="fp32")
            epoch += SCORED * v100.device_seconds(work_of(name).forward, precision="fp32")
            return 100 * epoch / 8 / 3600 < hours

        return _threshold(faster, low=1e9, high=v100.MEMORY)

    monkeypatch.setitem(v100.FLOPS, "fp32", 13.4e12)
    found = [depthwise(n, hours=h) for n, h in (("b1", 13.2), ("b2", 16.4), ("b3", 26.4))]
    assert (found[0] * found[1] * found[2]) ** (1 / 3) == pytest.approx(81.8e9, rel=0.005)


def _threshold(reached: Callable[[float], bool], *, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
