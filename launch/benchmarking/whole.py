"""Input and step together: the loop that trains, between two lines of metrics."""

from __future__ import annotations

import time

from launch.engine.course import Course
from launch.engine.keeper import NoKeeper
from launch.engine.ports import Record
from launch.engine.preemption import StopRequest
from launch.session import Session
from launch.timing.machine import peak_memory_mib
from launch.timing.rounds import Figures

WARMUP = 20
"""Steps that do not count: threads start, memory is taken, kernels are chosen."""


_FAR = 10**9  # images of an epoch that never ends, so that nothing is evaluated


class _Marks:
    """Notes when each line of metrics came, and what it says of waiting for data."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, float, float]] = []

    def write(self, record: Record) -> None:
        if record["kind"] == "train":
            wait = float(record["speed/data_wait"])
            self.lines.append((int(record["step"]), time.perf_counter(), wait))

    def close(self, *, state: str) -> None:
        """Nothing to close."""


def train_some(session: Session, *, steps: int, stop: StopRequest) -> Figures:
    """Trains `WARMUP` + `steps` steps of a fresh state; returns the figures of the last `steps`.

    Every rank calls this; start-up and evaluation are not in it.
    """
    session.course = Course(batch=session.plan.batch, images=_FAR, epochs=1, log_every=WARMUP)
    marks = _Marks()
    step = session.new_step(session.new_state())
    loop = session.new_loop(step, tracker=marks, save=NoKeeper(), stop=stop, restarts=0)
    loop.run(until=WARMUP + steps)
    first, *lines = marks.lines
    passed = lines[-1][1] - first[1]
    trained = lines[-1][0] - first[0]
    waited = sum(
        share * (mark - before) for (_, mark, share), (_, before, _) in zip(lines, marks.lines, strict=False)
    )
    return {
        "images/s": trained * session.plan.batch / passed,
        "step ms": 1000 * passed / trained,
        "data wait %": 100 * waited / passed,
        "peak memory MiB": peak_memory_mib(),
    }
