"""What a run will take, before any of it is done: steps, memory, hours."""

from __future__ import annotations

import json

from launch.config import Run, to_plain
from launch.data import outputs
from launch.engine.course import Course
from launch.engine.distributed import find_place
from launch.footprint import CUDA_GIB, DALI_GIB, footprint
from launch.initial import read_initial, with_checksum
from launch.opening import open_data, open_terminal
from launch.plan import Plan, make_plan
from launch.recipe import Recipe, v100_rate
from launch.recipes import RECIPES
from pipeline.imagenet import CLASSES, TRAIN_IMAGES


def dry_run(run: Run) -> None:
    """Prints the resolved run, its steps, memory and hours; needs no GPU, and for ImageNet no data.

    Raises:
        ValueError, FileNotFoundError: the run could not start as asked.
    """
    place = find_place()
    say = open_terminal(place)[1]
    plan = make_plan(run, nodes=place.nodes, ranks=place.world_size)
    if run.data is None and run.recipe != "demo":
        images, source = TRAIN_IMAGES, "ImageNet-1k assumed: no --data"
        classes, folders = run.num_classes or CLASSES, CLASSES
    else:
        data = open_data(run, say=say)
        images, source = len(data.train), f"{len(data.val)} for validation"
        classes = outputs(run.num_classes, folders=data.train.classes, split=data.train.root)
        folders = len(data.train.classes)
    initial = None
    if run.init_weights is not None:
        initial = read_initial(with_checksum(run, say=say), classes=classes, say=say)
    course = Course(batch=plan.batch, images=images, epochs=run.epochs, log_every=run.keeping.log_every)
    if not place.first:
        return
    print(json.dumps(to_plain(run), indent=1))
    if run.recipe in RECIPES:
        print(f"recipe    {about(RECIPES[run.recipe])}")
    print(f"plan      {plan}")
    print(f"images    {images} in {folders} classes ({source})")
    if initial is not None:
        print(f"start     {initial.words}")
    print(f"steps     {course.steps} = {run.epochs:g} epochs x {course.steps_per_epoch:.2f}")
    print(f"memory    {memory_line(run, plan, classes=classes)}")
    print(f"hours     {hours_line(run, plan, images=images)}")


def about(recipe: Recipe) -> str:
    """Returns where a recipe's settings come from, and what to expect of it."""
    told = f"from {recipe.source}"
    if recipe.expected is None:
        return f"{told}; {recipe.measured}"
    low, high = f"{recipe.expected.low:g}", f"{recipe.expected.high:g}"
    return f"{told}; expected {low} to {high} % ({recipe.expected.source}), {recipe.measured}"


def memory_line(run: Run, plan: Plan, *, classes: int) -> str:
    """Returns the memory per process: the state, what a forward pass keeps, what is set aside for others."""
    found = footprint(run, micro_batch=plan.micro_batch, classes=classes)
    full, half = found.total(half=False), found.total(half=True)
    return (
        f"{full:.1f} GiB per process in fp32, {half:.1f} GiB in fp16 or bf16, not measured: the state "
        f"takes {found.state:.2f}, {DALI_GIB:g} are set aside for DALI's pools and {CUDA_GIB:g} for CUDA, "
        "and what the forward pass keeps takes the rest"
    )


def hours_line(run: Run, plan: Plan, *, images: int) -> str:
    """Returns the hours on V100s, on paper, and how to measure them."""
    rate = v100_rate(run)
    if rate is None:
        return "measure them with --smoke"
    hours = run.epochs * images / (rate * plan.ranks) / 3600
    return (
        f"{hours:.1f} on {plan.ranks} V100 at {rate:.0f} images/s each; not measured: on paper, with perfect "
        f"scaling (launch/benchmark.py plan {run.recipe} says more); --smoke measures"
    )
