"""The step alone, on one batch that is there already: each layout and precision, and the parts of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch

from launch.engine.config import LayoutName, Precision
from launch.engine.layout import CANDIDATES, find_layout
from launch.engine.ports import MicroBatch
from launch.engine.step import half_type, make_scaler, mixed_loss
from launch.session import Session
from launch.timing.rounds import Figures


def stepping_ways(session: Session, *, steps: int) -> dict[str, Callable[[], Figures]]:
    """Returns, by layout and precision, what trains `steps` micro-batches and returns the medians of a step.

    Precisions are the run's own and fp32.
    """
    precisions: dict[Precision, None] = {"fp32": None, session.precision: None}
    return {
        f"{layout}, {precision}": partial(_turn, session, layout=layout, precision=precision, steps=steps)
        for layout in CANDIDATES
        for precision in precisions
    }


def _turn(session: Session, *, layout: LayoutName, precision: Precision, steps: int) -> Figures:
    found = find_layout(layout)
    state, batch = session.new_state(found), session.constant_batch()
    model, device = state.model.train(), session.world.device
    images = batch.images.contiguous(memory_format=found.memory_format)
    scaler = make_scaler(precision, device=device, scale=1024.0)
    half = half_type(precision)
    for group in state.optimizer.param_groups:
        group["lr"] = 0.0  # on one constant batch the weights would run away, and odd floats are slow
    times: dict[str, list[float]] = {"forward ms": [], "backward ms": [], "optimizer ms": []}
    for _ in range(steps + 1):
        state.optimizer.zero_grad(set_to_none=True)
        began = time.perf_counter()
        with torch.autocast(device.type, half, half is not None):
            loss = mixed_loss(model(images), batch, smoothing=session.run.optim.label_smoothing)
        forward = _passed(began, loss)
        scaler.scale(loss).backward()
        backward = _passed(began, next(model.parameters()).grad)
        scaler.step(state.optimizer)
        scaler.update(scaler.get_scale())
        state.average.update(
            model, state.stats, decay=0.999, skipped=torch.zeros((), dtype=torch.bool, device=device)
        )
        whole = _passed(began, next(model.parameters()))
        for name, value in zip(times, (forward, backward - forward, whole - backward), strict=True):
            times[name].append(1000 * value)
    parts = {name: median(values[1:]) for name, values in times.items()}
    step = sum(parts.values())
    return {"images/s": 1000 * batch_size(batch) / step, "step ms": step, **parts}


def batch_size(batch: MicroBatch) -> int:
    """Returns the number of a batch's images."""
    return len(batch.ids)


def _passed(began: float, result: torch.Tensor | None) -> float:
    """Returns the seconds since `began`, once the device has the result."""
    assert result is not None
    float(result.detach().flatten()[0])
    return time.perf_counter() - began
