"""The evaluation program: given weights on a given data set, exactly counted and held against a figure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from launch.attempt import Attempt, Missed
from launch.config import identity_fields
from launch.engine.distributed import World, find_place, join
from launch.engine.metrics import Score, evaluate
from launch.engine.ports import EvalBatches
from launch.expectation import Comparison, verdict
from launch.folder import write_json
from launch.request import Request, check_out, find_weights
from launch.track.terminal import Terminal
from pipeline.index import Index, is_imagenet_1k_val, open_index
from pipeline.layout import check_split, class_names
from rexnet.model import create_model
from rexnet.published import Published, published
from rexnet.weights import load_weights

_RESULT = "result.json"


def evaluate_weights(request: Request, attempt: Attempt) -> None:
    """Evaluates over all ranks, prints the result and keeps it in the evaluation's folder.

    Raises:
        ValueError, FileNotFoundError: weights and network or data do not fit, or are not there.
        Missed: Acc@1 is farther off what was expected than tolerated.
    """
    place = find_place()
    say = Terminal().say if place.first else _nothing
    if request.out is not None:
        check_out(request.out)
    weights = find_weights(request.weights)
    index = open_val(request.data.expanduser(), machines=place.nodes, say=say)
    classes = request.num_classes or len(index.classes)
    if classes < len(index.classes):
        raise ValueError(
            f"num-classes is {classes}, but {index.root} has {len(index.classes)} class folders; leave it out"
        )
    digest = _sha256(weights)
    folder = request.out or evaluation_folder(request, weights=digest, data=index.identity)
    if place.first:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _RESULT).unlink(missing_ok=True)  # an earlier attempt's is not this one's
    attempt.folder = folder
    model = create_model(request.variant, num_classes=classes)
    layout = load_weights(model, weights)
    if place.first:
        attempt.begin()
    world = join(place)
    say(f"{request.variant}, {layout} weights {weights}, {len(index)} images of {index.root}")
    score, _ = evaluate(
        model.to(device=world.device, memory_format=torch.channels_last),  # pyright: ignore[reportCallIssue]
        _batches(request, index, world),
        images=len(index),
        device=world.device,
        group=world.host_group,
    )
    for bad in score.bad:
        say(f"bad image, counted as a miss: {bad}")
    attempt.message = measured = (
        f"Acc@1 {score.acc1:.3f} %  Acc@5 {score.acc5:.3f} %  loss {score.loss:.4f}  {score.images} images"
    ) + (f", {len(score.bad)} of them bad" if score.bad else "")
    say(measured)
    authors = published(request.variant) if is_imagenet_1k_val(index) else None
    if authors is not None:
        say(published_line(score, authors))
    outcome, missed = None, False
    if request.expect is not None:
        outcome = Comparison(hits=score.hits1, images=score.images, figure=request.expect)
        attempt.message = verdict(outcome, tolerance=request.tolerance)
        missed = not outcome.within(request.tolerance)
        if not missed:
            say(attempt.message)
    if place.first:
        where = {"weights": str(weights), "weights_sha256": digest, "weights_layout": layout}
        result = where | result_fields(request, index=index, score=score, authors=authors, outcome=outcome)
        write_json(folder / _RESULT, result)
        say(f"Evaluation folder: {folder}")
        print(json.dumps(result), flush=True)
    if missed:
        raise Missed(attempt.message)


def open_val(data: Path, *, machines: int = 1, say: Callable[[str], None]) -> Index:
    """Returns the index of `data`/val, or of `data` itself; a train split beside val gives the labels.

    Raises:
        ValueError, FileNotFoundError: there are no class folders.
    """
    split = data / "val" if (data / "val").is_dir() else data
    check_split(split)
    train = data / "train"
    named = class_names(train) if split != data and train.is_dir() else []
    # val may lack classes of train
    return open_index(split, classes=named or None, machines=machines, say=say)


def evaluation_folder(request: Request, *, weights: str, data: str) -> Path:
    """Returns the default folder: a hash of weights, data and settings tells evaluations apart."""
    settings = [request.variant, request.num_classes, request.image_size, request.decoder]
    content = json.dumps([weights, data, settings, identity_fields(request.evaluation)], sort_keys=True)
    return Path("runs") / f"evaluate-{request.variant}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def published_line(score: Score, authors: Published) -> str:
    """Returns how far Acc@1 is from what the authors published."""
    comparison = Comparison(hits=score.hits1, images=score.images, figure=authors.acc1)
    return f"published {authors.acc1} % at 224 pixels: {comparison}"


def result_fields(
    request: Request,
    *,
    index: Index,
    score: Score,
    authors: Published | None,
    outcome: Comparison | None,
) -> dict[str, Any]:
    """Returns what result.json tells besides the weights; accuracies in percent, differences in points."""
    return {
        "variant": request.variant,
        "data": str(index.root),
        "data_identity": index.identity,
        "images": score.images,
        "bad_images": [{"file": bad.file, "fault": bad.fault} for bad in score.bad],
        "acc1": score.acc1,
        "acc5": score.acc5,
        "hits1": score.hits1,
        "hits5": score.hits5,
        "loss": score.loss if math.isfinite(score.loss) else None,
        "image_size": request.image_size,
        "crop_ratio": request.evaluation.crop_ratio,
        "interpolation": request.evaluation.interpolation,
        "decoder": request.decoder,
        "expected": request.expect,
        "tolerance": None if outcome is None else request.tolerance,
        "difference": None if outcome is None else round(outcome.difference, 6),
        "interval": None if outcome is None else [round(end, 6) for end in outcome.interval],
        "published_acc1": None if authors is None else authors.acc1,
        "published_acc5": None if authors is None else authors.acc5,
    }


def _batches(request: Request, index: Index, world: World) -> EvalBatches:
    if request.decoder == "pillow":  # either is imported alone, so that Pillow's works without DALI
        from pipeline.pillow import eval_batches
    else:
        from pipeline.loader import eval_batches
    return partial(
        eval_batches,
        index,
        evaluation=request.evaluation,
        feeding=request.feeding,
        rank=world.place.rank,
        world_size=world.place.world_size,
        device=world.device,
        image_size=request.image_size,
        processes=world.sharing,
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _nothing(line: str) -> None:
    """Says nothing: rank 0 speaks for all."""
