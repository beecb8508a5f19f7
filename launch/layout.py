"""Which layout a run takes: what was asked for, what its first start found, or what is fastest here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.distributed as dist

from launch.engine.config import LayoutName
from launch.engine.layout import CANDIDATES, STEPS, fastest, is_worth_timing, time_layouts
from launch.engine.step import assumed_layout

if TYPE_CHECKING:
    from launch.session import Session


def choose_layout(session: Session, *, say: Callable[[str], None]) -> tuple[LayoutName, str]:
    """Returns the layout of a run and how it was found; the same on every rank.

    Rank 0 times all layouts, with this network, precision and micro-batch, where nothing is known yet.
    """
    layout = session.run.numerics.layout
    if layout != "auto":
        why = "asked for" if session.asked.numerics.layout == layout else "kept from the first start"
        return layout, why
    found = [_find(session, say=say)] if session.world.place.first else [None]
    dist.broadcast_object_list(found, src=0, group=session.world.host_group)
    assert found[0] is not None
    layout, why = found[0]
    say(f"layout {layout}, {why}")
    return layout, why


def _find(session: Session, *, say: Callable[[str], None]) -> tuple[LayoutName, str]:
    assumed = assumed_layout(session.precision, session.world.device)
    if not is_worth_timing(session.course.steps * session.plan.accumulation):
        return assumed, "assumed: timing it does not pay in so short a run"
    say(f"timing {len(CANDIDATES)} layouts, {STEPS} steps each")
    seconds = time_layouts(
        session.new_state, session.constant_batch(), optim=session.run.optim, precision=session.precision
    )
    if seconds is None:
        return assumed, "assumed: a step here takes too long to time it (--layout takes one)"
    told = ", ".join(f"{name} {1000 * value:.1f}" for name, value in seconds.items())
    return fastest(seconds), f"measured, ms per micro-batch: {told}"
