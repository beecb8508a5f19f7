"""What a run will take, before any of it is done: steps, memory, hours."""

from __future__ import annotations

import json

import torch

from launch.config import Run, to_plain
from launch.engine.course import Course
from launch.engine.distributed import find_place
from launch.opening import open_data, open_terminal
from launch.plan import Plan, make_plan
from rexnet.model import create_model
from rexnet.published import published

_IMAGENET_IMAGES = 1_281_167
_IMAGENET_CLASSES = 1000
_B0_IMAGES_PER_S = 1301
_B0_MACS = 390e6
_BYTES_OF_STATE = 4 * 4  # weights, gradients, momentum, EMA, in fp32
_GIB = 2**30
_SMALLEST_SCALED = 128  # the published rate is of 224 pixels; small images are bound by launches, not by MACs


def dry_run(run: Run) -> None:
    """Prints the resolved run, its steps, memory and hours; needs no GPU, and for ImageNet no data.

    Raises:
        ValueError, FileNotFoundError: the run could not start as asked.
    """
    place = find_place()
    plan = make_plan(run, nodes=place.nodes, ranks=place.world_size)
    if run.data is None and run.recipe != "demo":
        images, classes, source = _IMAGENET_IMAGES, _IMAGENET_CLASSES, "ImageNet-1k assumed: no --data"
    else:
        data = open_data(run, say=open_terminal(place)[1])
        images, classes, source = len(data.train), len(data.train.classes), f"{len(data.val)} for validation"
    course = Course(batch=plan.batch, images=images, epochs=run.epochs, log_every=run.keeping.log_every)
    if not place.first:
        return
    print(json.dumps(to_plain(run), indent=1))
    print(f"plan      {plan}")
    print(f"images    {images} in {classes} classes ({source})")
    print(f"steps     {course.steps} = {run.epochs:g} epochs x {course.steps_per_epoch:.2f}")
    print(f"memory    {memory_line(run, plan, classes=classes)}")
    print(f"hours     {hours_line(run, plan, images=images)}")


def memory_line(run: Run, plan: Plan, *, classes: int) -> str:
    """Returns the memory per process: the state, and what a forward pass keeps for the backward one."""
    model = create_model(run.variant, num_classes=classes).to("meta")
    state = sum(p.numel() for p in model.parameters()) * _BYTES_OF_STATE
    kept = kept_bytes(model, size=run.augmentation.image_size) * plan.micro_batch
    full, half = (state + kept) / _GIB, (state + kept / 2) / _GIB
    return (
        f"{full:.1f} GiB per process in fp32, {half:.1f} GiB in fp16 or bf16; the state takes "
        f"{state / _GIB:.2f} of it, the forward pass keeps the rest; kernels' workspace and DALI come on top"
    )


def kept_bytes(model: torch.nn.Module, *, size: int) -> int:
    """Returns the bytes that the training-mode forward pass of one fp32 image keeps, parameters not counted.

    Counted on shapes alone, with two images, since BatchNorm takes no single one; what has another first
    dimension is no image's.
    """
    seen: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and tensor.shape[0] == 2:
            seen[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.empty(2, 3, size, size, device="meta")).sum()
    return sum(t.numel() * t.element_size() for t in seen.values()) // 2


def hours_line(run: Run, plan: Plan, *, images: int) -> str:
    """Returns the hours on V100s, derived from a published figure, and how to measure them."""
    rate = v100_rate(run)
    if rate is None:
        return "measure them with --smoke"
    hours = run.epochs * images / (rate * plan.ranks) / 3600
    return (
        f"{hours:.1f} on {plan.ranks} V100 at {rate:.0f} images/s each; not measured: derived by MACs from "
        f"NVIDIA's {_B0_IMAGES_PER_S} of EfficientNet-B0 on one V100 (DeepLearningExamples), with perfect "
        "scaling; --smoke measures"
    )


def v100_rate(run: Run) -> float | None:
    """Returns the images per second that one V100 may train, by that figure; None where it says nothing."""
    figures = published(run.variant)
    if figures is None or run.augmentation.image_size < _SMALLEST_SCALED:
        return None
    pixels = (run.augmentation.image_size / 224) ** 2
    return _B0_IMAGES_PER_S * _B0_MACS / figures.macs / pixels
