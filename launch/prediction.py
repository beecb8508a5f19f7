"""The prediction program: images shown to a network as evaluation shows them, and its likeliest classes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from launch.checks import architecture, gpus
from launch.decoder import Decoder, eval_reader
from launch.engine.distributed import find_device, find_place
from launch.imagenet_names import described
from launch.predict_request import PredictRequest
from launch.provenance import Provenance, trace
from launch.track.lines import plain
from pipeline.config import Evaluation, Feeding
from pipeline.index import Index
from pipeline.listing import list_images
from rexnet.model import ReXNet, create_model

_WIDEST = 10_000  # characters of a line off a terminal, where other programs read it
_SIZE = 224  # pixels, at which the published weights were evaluated


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """One class that an image may be of."""

    label: int
    name: str
    probability: float


Answers = dict[Path, list[Guess]]
"""File: its likeliest classes, the likeliest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Showing:
    """How images are shown."""

    image_size: int
    evaluation: Evaluation
    decoder: Decoder
    feeding: Feeding


def predict(request: PredictRequest) -> int:
    """Prints the answers, and to the errors what is wrong with files; returns how many had no answer.

    Raises:
        FileNotFoundError, ValueError: weights or folders are not what they should be.
    """
    architecture.require(gpus.gather())
    weights = trace(request.weights, variant=request.variant, say=_aside)
    listing = list_images(request.files)
    showing = _showing(request, weights)
    names = described(weights.class_names, classes=weights.classes, say=_aside)
    model = create_model(weights.variant, weights=weights.file).eval()
    answers, faults = answer(model, listing.index, showing=showing, names=names, top=request.top)
    found = {listing.files[i]: guesses for i, guesses in sorted(answers.items())}
    bad = [*listing.bad, *((listing.files[i], fault) for i, fault in sorted(faults.items()))]
    if request.json:
        print(json.dumps(_as_json(weights, showing, found, bad), indent=1))
    elif found:
        show_table(found)
    for file, fault in bad:
        _aside(f"{file} {fault}")
    return len(bad)


def answer(
    model: ReXNet, index: Index, *, showing: Showing, names: Sequence[str], top: int
) -> tuple[dict[int, list[Guess]], dict[int, str]]:
    """Returns by image of `index` its `top` likeliest classes, and of those that cannot be decoded the fault.

    Args:
        model: in evaluation mode; computes in fp32.
        names: of the model's classes.
    """
    device = find_device(find_place())
    model = model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    answers: dict[int, list[Guess]] = {}
    faults: dict[int, str] = {}
    if not len(index):
        return answers, faults
    with closing(_batches(index, showing, device)) as batches, torch.inference_mode():
        for batch in batches:
            images = batch.images.contiguous(memory_format=torch.channels_last)
            best = model(images).softmax(dim=1).topk(min(top, len(names)))
            faults |= {bad.id: bad.fault for bad in batch.bad}
            for i, labels, shares in zip(
                batch.ids.tolist(), best.indices.tolist(), best.values.tolist(), strict=True
            ):
                answers[i] = [
                    Guess(label=int(label), name=names[int(label)], probability=share)
                    for label, share in zip(labels, shares, strict=True)
                ]
    return {i: guesses for i, guesses in answers.items() if i not in faults}, faults


def show_table(answers: Answers, *, console: Console | None = None) -> None:
    """Prints a table of the answers; off a terminal as wide as its longest line."""
    console = console or Console(highlight=False, markup=False, emoji=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Image", overflow="fold")
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("Class", overflow="fold")
    for file, guesses in answers.items():
        for place, guess in enumerate(guesses):
            table.add_row(
                Text("" if place else _line(file)),
                f"{100 * guess.probability:.2f}",
                Text(_line(guess.name), style="" if place else "bold"),
            )
    if not console.is_terminal:
        unbounded = console.options.update(max_width=_WIDEST)
        console.width = max(console.width, console.measure(table, options=unbounded).maximum)
    console.print(table)


def _showing(request: PredictRequest, weights: Provenance) -> Showing:
    """As the flags say, else as the weights were evaluated, else as the published ones were."""
    evaluation = Evaluation(
        crop_ratio=request.crop_ratio or weights.crop_ratio or Evaluation().crop_ratio,
        eval_batch=request.eval_batch,
    )
    if request.image_size is None and weights.image_size is None:
        _aside(f"nothing tells at which size these weights were evaluated; {_SIZE} pixels are shown")
    kind = request.interpolation or weights.interpolation
    if kind in ("bicubic", "bilinear"):
        evaluation = replace(evaluation, interpolation=cast(Literal["bicubic", "bilinear"], kind))
    return Showing(
        image_size=request.image_size or weights.image_size or _SIZE,
        evaluation=evaluation,
        decoder=request.decoder,
        feeding=Feeding(decode=request.decode, workers=request.workers),
    )


def _batches(index: Index, showing: Showing, device: torch.device) -> Any:
    return eval_reader(showing.decoder)(
        index,
        evaluation=showing.evaluation,
        feeding=showing.feeding,
        rank=0,
        world_size=1,
        device=device,
        image_size=showing.image_size,
    )


def _as_json(
    weights: Provenance, showing: Showing, answers: Answers, bad: Sequence[tuple[Path, str]]
) -> dict[str, Any]:
    return {
        "weights": str(weights.file),
        "variant": weights.variant,
        "image_size": showing.image_size,
        "crop_ratio": showing.evaluation.crop_ratio,
        "interpolation": showing.evaluation.interpolation,
        "predictions": [
            {
                "file": str(file),
                "top": [
                    {"class": guess.label, "name": guess.name, "probability": round(guess.probability, 6)}
                    for guess in guesses
                ],
            }
            for file, guesses in answers.items()
        ],
        "bad": [{"file": str(file), "fault": fault} for file, fault in bad],
    }


def _line(name: Path | str) -> str:
    return plain(str(name)).replace("\n", "\\n")


def _aside(line: str) -> None:
    """To the errors, so that what is asked for stands alone on standard output."""
    print(f"predict.py: {_line(line)}", file=sys.stderr, flush=True)
