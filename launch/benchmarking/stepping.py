"""The step alone, on one batch that is there already: each layout and precision, and the parts of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import nn

from launch.engine.compilation import compiled
from launch.engine.config import LayoutName, Precision
from launch.engine.layout import CANDIDATES, find_layout, trial
from launch.engine.step import make_scaler
from launch.session import Session
from launch.timing.rounds import Figures


def stepping_ways(session: Session, *, steps: int) -> dict[str, Callable[[], Figures]]:
    """Returns, by layout and precision, what trains `steps` micro-batches and returns the medians of a step.

    Precisions are the run's own and fp32; with the run's own all layouts are compiled, too, where the session
    has found that this works and pays.
    """
    turn = partial(_turn, session, steps=steps)
    precisions: dict[Precision, None] = {"fp32": None, session.precision: None}
    ways = {
        f"{layout}, {precision}": partial(turn, layout=layout, precision=precision)
        for layout in CANDIDATES
        for precision in precisions
    }
    for layout in CANDIDATES if session.compile else ():
        name = f"{layout}, {session.precision}, compiled"
        ways[name] = partial(turn, layout=layout, precision=session.precision, prepare=compiled)
    return ways


def _turn(
    session: Session,
    *,
    layout: LayoutName,
    precision: Precision,
    steps: int,
    prepare: Callable[[nn.Module], nn.Module] = lambda model: model,
) -> Figures:
    found, batch = find_layout(layout), session.constant_batch()
    scaler = make_scaler(precision, device=session.world.device, scale=1024.0)
    state = session.new_state(found)
    state = replace(state, scaler=scaler, model=prepare(state.model))
    marks: list[float] = []

    def mark(result: torch.Tensor) -> None:
        float(result.detach().flatten()[0])  # waits for the device
        marks.append(time.perf_counter())

    step = trial(state, batch, layout=found, optim=session.run.optim, precision=precision, mark=mark)
    times: dict[str, list[float]] = {"forward ms": [], "backward ms": [], "optimizer ms": []}
    for _ in range(steps + 1):  # the first does not count
        marks.clear()
        began = time.perf_counter()
        whole = step()
        forward, backward = (at - began for at in marks)
        for name, value in zip(times, (forward, backward - forward, whole - backward), strict=True):
            times[name].append(1000 * value)
    parts = {name: median(values[1:]) for name, values in times.items()}
    total = sum(parts.values())
    return {"images/s": 1000 * len(batch.ids) / total, "step ms": total, **parts}
