"""What one training step has to do, counted from its operators on shapes alone: no device, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_VIEWS = frozenset(
    {"alias", "as_strided", "detach", "empty_like", "expand", "permute", "select", "slice", "squeeze", "t"}
    | {"transpose", "unsqueeze", "view", "_unsafe_view"}
)
_HANDING_OVER = frozenset({"copy_", "new_empty_strided"})
"""How autograd puts a gradient into its place on shapes alone; on a device it is taken as it is."""

_READ_AGAIN: dict[str, tuple[int, ...]] = {
    "native_batch_norm": (0,),  # once for the statistics, once to normalise
    "native_batch_norm_backward": (0, 1),
    "convolution_backward": (0,),  # once for the input's gradient, once for the weight's
}
_KERNELS = {"convolution_backward": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Of a forward and a backward pass. `moved` counts numbers read or written, once per operator.

    Attributes:
        flops: of convolutions that mix channels, and of matrix products; two per multiply-add.
        convolved: numbers moved by these convolutions.
        depthwise: numbers moved by convolutions within one channel.
        moved: numbers moved by all else.
        kernels: started on the device.
    """

    flops: float = 0.0
    convolved: float = 0.0
    depthwise: float = 0.0
    moved: float = 0.0
    kernels: float = 0.0

    def __add__(self, other: Work) -> Work:
        return _fieldwise(lambda a, b: a + b, self, other)

    def __sub__(self, other: Work) -> Work:
        return _fieldwise(lambda a, b: a - b, self, other)

    def __mul__(self, factor: float) -> Work:
        return _fieldwise(lambda a, _: a * factor, self, self)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepWork:
    """A step's work for n images is `per_step` + n x `per_image`; `forward` is an image's in evaluation."""

    per_image: Work
    per_step: Work
    forward: Work
    parameters: int

    def of(self, images: int) -> Work:
        """Returns the work of one forward and backward pass over `images`."""
        return self.per_step + self.per_image * images


def count_work(make: Callable[[], nn.Module], *, image_size: int) -> StepWork:
    """Counts what training the network takes, on torch's meta device.

    Work is a straight line in the number of images, so two counts tell the image's part from the step's.

    Args:
        make: returns the network, which takes images [B, 3, H, W] to logits [B, classes].
        image_size: pixels of a side.
    """
    model = make().to("meta")
    two, four = (_count(model, images=n, image_size=image_size) for n in (2, 4))
    per_image = (four - two) * 0.5
    once, twice = (_count(model, images=n, image_size=image_size, backward=False) for n in (2, 4))
    return StepWork(
        per_image=per_image,
        per_step=two - per_image * 2,
        forward=(twice - once) * 0.5,
        parameters=sum(p.numel() for p in model.parameters()),
    )


def _count(model: nn.Module, *, images: int, image_size: int, backward: bool = True) -> Work:
    batch = torch.empty(images, 3, image_size, image_size, device="meta")
    with _Counter() as counter, torch.set_grad_enabled(backward):
        logits = model.train(backward)(batch)
        if backward:
            F.cross_entropy(logits, torch.empty(images, dtype=torch.long, device="meta")).backward()
    model.zero_grad(set_to_none=True)
    return counter.work


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in _VIEWS | _HANDING_OVER:
            self.work = self.work + _operator(name, args, out)
        return out


def _operator(name: str, args: tuple[Any, ...], out: Any) -> Work:
    moved = _numbers(args) + _numbers(out) + sum(args[i].numel() for i in _READ_AGAIN.get(name, ()))
    kernels = _KERNELS.get(name, 1)
    if name == "convolution":
        return _convolution(out, args[1], groups=args[8], times=1, moved=moved, kernels=kernels)
    if name == "convolution_backward":
        return _convolution(args[0], args[2], groups=args[9], times=2, moved=moved, kernels=kernels)
    if name in ("mm", "addmm"):
        flops = 2 * out.numel() * args[-2].shape[-1]
        return Work(flops=flops, convolved=moved, kernels=kernels)
    return Work(moved=moved, kernels=kernels)


def _convolution(out: Tensor, weight: Tensor, *, groups: int, times: int, moved: int, kernels: int) -> Work:
    if groups == weight.shape[0]:
        return Work(depthwise=moved, kernels=kernels)
    flops = times * 2 * out.numel() * weight[0].numel()
    return Work(flops=flops, convolved=moved, kernels=kernels)


def _numbers(value: Any) -> int:
    return sum(leaf.numel() for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _fieldwise(combine: Callable[[float, float], float], a: Work, b: Work) -> Work:
    return Work(**{f.name: combine(getattr(a, f.name), getattr(b, f.name)) for f in fields(Work)})
