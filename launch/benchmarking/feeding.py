"""The input alone: how fast batches come, with each augmentation and from each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial

from launch.engine.ports import MicroBatch
from launch.measuring import FAR, Turns
from launch.session import Session
from launch.timing.rounds import Figures
from pipeline.config import Augmentation
from pipeline.index import Index
from pipeline.loader import train_batches


def feeding_ways(
    session: Session, *, packed: Index | None, seconds: float
) -> dict[str, Callable[[], Figures]]:
    """Returns, by name, what feeds for `seconds` and returns images/s and CPU ms per image."""
    whole = session.run.augmentation
    plain = replace(whole, rand_ops=0, erasing=0.0, mixup=0.0, cutmix=0.0)
    kinds = {
        "crop, flip": plain,
        "+ RandAugment": replace(plain, rand_ops=2),
        "+ erasing": replace(plain, erasing=0.2),
        "+ mixup": replace(plain, mixup=0.2),
    }
    if whole not in kinds.values():
        kinds[f"{session.run.recipe}, all of it"] = whole
    train = session.data.train
    turns = Turns(seconds)
    ways: dict[str, Callable[[], Figures]] = {
        name: partial(_figures, turns, partial(_stream, session, train, augmentation))
        for name, augmentation in kinds.items()
    }
    if packed is not None:
        ways["packed: crop, flip"] = partial(_figures, turns, partial(_stream, session, packed, plain))
    return ways


def _figures(turns: Turns, way: Callable[[int], Generator[MicroBatch]]) -> Figures:
    fed = turns.take(way)
    return {"images/s": fed.images / fed.seconds, "CPU ms per image": 1000 * fed.cpu_seconds / fed.images}


def _stream(session: Session, index: Index, augmentation: Augmentation, step: int) -> Generator[MicroBatch]:
    return train_batches(
        index,
        augmentation=augmentation,
        feeding=session.run.feeding,
        seed=session.run.seed,
        share=session.share,
        device=session.world.device,
        image_size=lambda _: augmentation.image_size,
        from_step=step,
        to_step=FAR,
        processes=session.world.sharing,
    )
