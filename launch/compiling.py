"""Whether a run's training passes are compiled: asked for, and found to work and to pay everywhere."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from launch.engine.compilation import find_fault

if TYPE_CHECKING:
    from launch.session import Session
    from pipeline.loader import Batch


def choose_compile(session: Session, *, say: Callable[[str], None]) -> tuple[bool, str]:
    """Returns whether to compile, and how that was found; the same on every rank.

    Every rank compiles and compares; where one finds a fault, all take the plain network.
    """
    if not session.run.numerics.compile:
        return False, "kept from the first start" if session.asked.numerics.compile else "not asked for"
    say("compiling the network; some minutes, and again for each size of images")
    fault = find_fault(
        session.new_state(),
        _noise(session),
        layout=session.layout,
        optim=session.run.optim,
        precision=session.precision,
    )
    told: list[str | None] = [None] * session.world.place.world_size
    mine = None if fault is None else f"on {socket.gethostname()}: {fault}"
    dist.all_gather_object(told, mine, group=session.world.host_group)
    faults = [each for each in told if each is not None]
    if faults:
        say(f"--compile is left out, {faults[0]}")
        return False, faults[0]
    return True, "compiled passes are right, and faster"


def _noise(session: Session) -> Batch:
    """Returns a micro-batch of images that differ, of as many classes as they are.

    Were all of one, their gradients would add up to nearly what float16 can hold at its first scale.
    """
    batch = session.constant_batch()
    labels = torch.arange(len(batch.labels), device=batch.labels.device) % session.classes
    drawn = torch.randn(batch.images.shape, generator=torch.Generator().manual_seed(0))
    images = drawn.to(batch.images).contiguous(memory_format=torch.channels_last)
    return replace(batch, images=images, labels=labels, labels_b=labels)
