"""The evaluation program: given weights on a given data set, exactly counted and held against a figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from launch.attempt import Attempt, Missed
from launch.case import Case, Given, find_cases, find_given, told_otherwise
from launch.checks import architecture, gpus
from launch.class_table import write_class_table
from launch.data import outputs
from launch.decoder import eval_reader
from launch.engine.distributed import World, find_place, join
from launch.engine.metrics import Score, evaluate_together
from launch.engine.ports import EvalBatches
from launch.expectation import Comparison, verdict
from launch.folder import write_json
from launch.request import LEFT, Request, View, check_out
from launch.result import published_line, result_fields
from launch.score_table import score_table
from launch.track.terminal import Terminal
from pipeline.index import Index, open_index
from pipeline.layout import check_layout, check_split, class_names
from rexnet.channels import variant_shape
from rexnet.model import create_model
from rexnet.published import published
from rexnet.weights import class_count, load_weights, read_state

_RESULT, _CLASSES, _ALL = LEFT


def evaluate_weights(request: Request, attempt: Attempt) -> None:
    """Evaluates over all ranks, prints the results and keeps each in its evaluation's folder.

    All weights see the same batches, which are read once for each size and crop.

    Raises:
        ValueError, FileNotFoundError: weights and network or data do not fit, or are not there.
        Missed: Acc@1 is farther off what was expected than tolerated.
    """
    place = find_place()
    say = Terminal().say if place.first else _nothing
    if request.out is not None:
        check_out(request.out)
    architecture.require(gpus.gather())
    given = find_given(request, say=say)
    index = open_val(request.data.expanduser(), machines=place.nodes, say=say)
    classes = outputs(request.num_classes, folders=index.classes, split=index.root)
    for each in given:
        _check_classes(each, classes=classes, index=index)
    cases, whole = find_cases(request, given, data=index.identity)
    attempt.folder = whole
    attempts = {whole: attempt} | {c.folder: Attempt(folder=c.folder) for c in cases if c.folder != whole}
    if place.first:
        for folder in attempts:
            _clear(folder)
    states = [read_state(each.path) for each in given]
    # With the weights, since a network with folded norms is made otherwise; the layout is for the terminal.
    models = [
        create_model(g.variant, num_classes=classes, weights=s) for g, s in zip(given, states, strict=True)
    ]
    layouts = [load_weights(model, state) for model, state in zip(models, states, strict=True)]
    if place.first:
        for each in attempts.values():
            each.begin()
    world = join(place)
    for each, layout in zip(given, layouts, strict=True):
        say(f"{each.variant}, {layout} weights {each.path}, {len(index)} images of {index.root}")
        if (flags := told_otherwise(each.path, request.views())) is not None:
            say(f"these weights were evaluated otherwise, by {flags}")
    for model in models:
        model.to(device=world.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    results: list[dict[str, Any]] = []
    for view in request.views():
        scores = evaluate_together(
            models,
            _batches(request, view, index, world),
            images=len(index),
            device=world.device,
            group=world.host_group,
            keep=True,
        )
        for bad in scores[0][0].bad:
            say(f"bad image, counted as a miss: {bad}")
        shown = [case for case in cases if case.view == view]
        for case, layout, (score, predictions) in zip(shown, layouts, scores, strict=True):
            own = attempts[case.folder]
            results.append(result_fields(request, case=case, layout=layout, index=index, score=score))
            tell(case, results[-1], own, score=score, alone=len(cases) == 1, say=say)
            if predictions is not None:  # rank 0
                write_class_table(case.folder / _CLASSES, predictions, classes=index.classes)
                write_json(case.folder / _RESULT, results[-1])
                say(f"Evaluation folder: {case.folder}")
                if own is not attempt:
                    own.record()
    missed = [own.message for own in attempts.values() if own.state == "fault"]
    if place.first:
        finish(results, whole, attempt, say=say)
    if missed:
        raise Missed("; ".join(missed))


def tell(
    case: Case,
    result: Mapping[str, Any],
    attempt: Attempt,
    *,
    score: Score,
    alone: bool,
    say: Callable[[str], None],
) -> None:
    """Says one result, and beside it what others published and what was expected; the attempt keeps it."""
    variant, bad = result["variant"], result["bad_images"]
    attempt.message = (
        f"Acc@1 {score.acc1:.3f} %  Acc@5 {score.acc5:.3f} %  loss {score.loss:.4f}  {score.images} images"
    ) + (f", {len(bad)} of them bad" if bad else "")
    where = "" if alone else f"{variant} at {result['image_size']} pixels, crop {result['crop_ratio']:g}: "
    say(f"{where}{attempt.message}")
    authors = published(variant) if result["published_acc1"] is not None else None
    if authors is not None:
        say(published_line(score, authors))
    if case.expect is None:
        return
    outcome = Comparison(hits=score.hits1, images=score.images, figure=case.expect)
    attempt.message = where + verdict(outcome, tolerance=result["tolerance"])
    if outcome.within(result["tolerance"]):
        say(attempt.message)
    else:
        attempt.state = "fault"  # said at the end


def finish(
    results: list[dict[str, Any]], whole: Path, attempt: Attempt, *, say: Callable[[str], None]
) -> None:
    """Prints the last line; of several results, which are kept together, a table before it."""
    if len(results) == 1:
        print(json.dumps(results[0]), flush=True)
        return
    say(score_table(results))
    write_json(whole / _ALL, {"results": results})
    best = max(results, key=lambda result: result["acc1"])
    attempt.message = f"{len(results)} evaluations; best Acc@1 {best['acc1']:.3f} %, of {best['weights']}"
    say(f"All results: {whole / _ALL}")
    print(json.dumps(results), flush=True)


def open_val(data: Path, *, machines: int = 1, say: Callable[[str], None]) -> Index:
    """Returns the index of `data`/val, or of `data` itself; a train split beside val gives the labels.

    Raises:
        ValueError, FileNotFoundError: there are no class folders.
    """
    split = data / "val" if (data / "val").is_dir() else data
    train = data / "train"
    if split == data and train.is_dir() and any(path.is_dir() for path in train.iterdir()):
        check_layout(data)  # a train split without its val, and not a class that is called train
    check_split(split)
    named = class_names(train) if split != data and train.is_dir() else []
    # val may lack classes of train
    return open_index(split, classes=named or None, machines=machines, say=say)


def _clear(folder: Path) -> None:
    """Makes the folder, and removes what an earlier attempt left there: it is not this one's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LEFT:
        (folder / name).unlink(missing_ok=True)


def _check_classes(given: Given, *, classes: int, index: Index) -> None:
    known = class_count(given.path, variant_shape(given.variant))
    if known != classes:
        learn = f"finetune --variant {given.variant} --init-weights {given.path} --data DIR"
        more = f"Where the others have no folder here: --num-classes {known}. " if known > classes else ""
        raise ValueError(
            f"{given.path} tells {known} classes apart, but wanted are {classes}: {index.root} has "
            f"{len(index.classes)} class folders. {more}To have it learn these: "
            f"torchrun launch/train.py {learn}"
        )


def _batches(request: Request, view: View, index: Index, world: World) -> EvalBatches:
    return partial(
        eval_reader(request.decoder),
        index,
        evaluation=view.evaluation,
        feeding=request.feeding,
        rank=world.place.rank,
        world_size=world.place.world_size,
        device=world.device,
        image_size=view.image_size,
        processes=world.sharing,
    )


def _nothing(line: str) -> None:
    """Says nothing: rank 0 speaks for all."""
