"""The evaluation program: given weights on a given data set, exactly counted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import tyro

from launch.attempt import Attempt
from launch.engine.distributed import find_place, join
from launch.engine.metrics import evaluate
from launch.opening import open_terminal
from pipeline.config import Evaluation, Feeding
from pipeline.index import open_index
from pipeline.layout import check_split
from pipeline.loader import eval_batches
from rexnet.model import create_model
from rexnet.weights import load_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Evaluate weights: Acc@1, Acc@5 and loss over every image of DIR/val; the last line is JSON."""

    variant: tyro.conf.Positional[str]
    """The network: rexnet_ and its width."""

    weights: Path
    """A .safetensors file of a run, or the authors' .pth."""

    data: Path
    """Folder that holds val/ with one folder of images per class, or that folder itself."""

    image_size: int = 224
    """Pixels of a side of the central crop."""

    num_classes: int | None = None
    """Outputs of the network. Default: as many as there are class folders."""

    evaluation: Evaluation = field(default_factory=Evaluation)
    feeding: Feeding = field(default_factory=Feeding)


def evaluate_weights(request: Request, attempt: Attempt) -> None:
    """Evaluates over all ranks and prints the result.

    Raises:
        ValueError, FileNotFoundError: weights and network or data do not fit, or are not there.
    """
    place = find_place()
    _, say = open_terminal(place)
    split = request.data.expanduser()
    split = split / "val" if (split / "val").is_dir() else split
    check_split(split)
    index = open_index(split, say=say)
    model = create_model(request.variant, num_classes=request.num_classes or len(index.classes))
    layout = load_weights(model, request.weights.expanduser())
    world = join(place)
    say(f"{request.variant}, {layout} weights {request.weights}, {len(index)} images of {split}")
    model = model.to(device=world.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    score, _ = evaluate(
        model,
        lambda: eval_batches(
            index,
            evaluation=request.evaluation,
            feeding=request.feeding,
            rank=place.rank,
            world_size=place.world_size,
            device=world.device,
            image_size=request.image_size,
            processes=place.local_world_size,
        ),
        images=len(index),
        device=world.device,
        group=world.host_group,
    )
    say(f"Acc@1 {score.acc1:.3f} %  Acc@5 {score.acc5:.3f} %  loss {score.loss:.4f}  {score.images} images")
    if place.first:
        result = {"variant": request.variant, "weights": str(request.weights), "data": str(split)}
        figures = {"acc1": score.acc1, "acc5": score.acc5, **asdict(score), "image_size": request.image_size}
        print(json.dumps(result | figures), flush=True)
    attempt.message = f"Acc@1 {score.acc1:.3f}"
