"""The input alone: how fast batches come, with each augmentation and from each kind of store."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

from launch.engine.ports import MicroBatch
from launch.session import Session
from launch.timing.rounds import Figures
from pipeline.config import Augmentation
from pipeline.index import Index
from pipeline.loader import train_batches

_FAR = 10**12  # a step that no measurement reaches
_AHEAD = 128  # batches, more than a turn has read and not shown


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
    turn = _Turn(seconds)
    ways: dict[str, Callable[[], Figures]] = {
        name: partial(turn, partial(_stream, session, train, augmentation))
        for name, augmentation in kinds.items()
    }
    if packed is not None:
        ways["packed: crop, flip"] = partial(turn, partial(_stream, session, packed, plain))
    return ways


class _Turn:
    """Begins each turn where the one before has ended: no way finds its files read by another one."""

    def __init__(self, seconds: float):
        self.seconds, self.step = seconds, 0

    def __call__(self, stream: Callable[[int], Generator[MicroBatch]]) -> Figures:
        images = 0
        with closing(stream(self.step)) as batches:
            _wait(next(batches))
            began, used = time.perf_counter(), time.process_time()
            passed = 0.0
            while passed < self.seconds:
                batch = next(batches)
                _wait(batch)
                images += len(batch.ids)
                self.step += 1
                passed = time.perf_counter() - began
            used = time.process_time() - used
        self.step += _AHEAD
        return {"images/s": images / passed, "CPU ms per image": 1000 * used / images}


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
        to_step=_FAR,
        processes=session.world.sharing,
    )


def _wait(batch: MicroBatch) -> None:
    """Returns when the device has made a batch's images."""
    batch.images[0, 0, 0, 0].item()
