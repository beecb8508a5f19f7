"""A session's network evaluated: on all of its validation images, or on those held out."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from torch import nn

from launch.engine.agreement import Agreement, interruptible
from launch.engine.metrics import Score, evaluate
from launch.engine.ports import MicroBatch
from launch.engine.predictions import Predictions
from launch.engine.preemption import StopRequest
from launch.exhaustion import naming_the_evaluation
from pipeline import loader
from pipeline.index import Index

if TYPE_CHECKING:
    from launch.session import Session


def score(
    session: Session,
    model: nn.Module,
    *,
    stop: StopRequest,
    index: Index | None = None,
    image_size: int | None = None,
    keep: bool = False,
) -> tuple[Score, Predictions | None]:
    """Evaluates `model` on every validation image, or on those of `index`, at the size of the headline
    unless told another, that of --test-size.

    Raises:
        Interrupted: a rank was asked to stop.
        ValueError: there is not enough memory.
    """
    world, data = session.world, session.data
    images, at_once = len(data.val if index is None else index), session.run.evaluation.eval_batch
    with naming_the_evaluation(at_once, test_size=image_size):
        return evaluate(
            model,
            lambda: interruptible(
                lambda: eval_batches(session, index=index, image_size=image_size),
                most=-(-images // (at_once * world.place.world_size)),
                agreement=Agreement(stop, group=world.host_group),
                pulse=world.pulse,
            ),
            images=images,
            device=world.device,
            group=world.host_group,
            memory_format=session.layout.memory_format,
            keep=keep,
            split="val" if index is None else "held-out",
        )


def eval_batches(
    session: Session, *, index: Index | None = None, image_size: int | None = None
) -> Generator[MicroBatch]:
    """Yields this rank's share of one pass over the validation images, or those of `index`."""
    run, place = session.run, session.world.place
    return loader.eval_batches(
        session.data.val if index is None else index,
        evaluation=run.evaluation,
        feeding=run.feeding,
        rank=place.rank,
        world_size=place.world_size,
        device=session.world.device,
        image_size=image_size or run.eval_size or run.augmentation.image_size,
        processes=session.world.sharing,
    )
