"""The smoke test: the real data and the real program for 25 steps, with a reload in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from torch import nn

from launch.attempt import Attempt
from launch.config import Run
from launch.engine.checkpoint import Checkpoints
from launch.engine.distributed import find_place
from launch.engine.metrics import evaluate
from launch.engine.ports import MicroBatch, Record
from launch.engine.preemption import StopRequest
from launch.opening import Say, open_session, open_terminal
from launch.session import Session
from launch.track.terminal import Terminal
from launch.track.trackers import Silent, Trackers

_STEPS = 20
_AFTER = 5
_EVAL_BATCHES = 4


class Rates:
    """Keeps the speed of the last line of metrics; the first one holds the start-up."""

    def __init__(self) -> None:
        self.images_per_s = 0.0
        self.data_wait = 0.0

    def write(self, record: Record) -> None:
        if record["kind"] == "train":
            self.images_per_s = float(record["speed/images_per_s"])
            self.data_wait = float(record["speed/data_wait"])

    def close(self, *, state: str) -> None:
        """Nothing to close."""


def smoke(run: Run, attempt: Attempt) -> None:
    """Trains 20 steps, evaluates a little, saves, reloads, trains 5 steps; the last line is SMOKE OK.

    Raises:
        ValueError, FileNotFoundError: something the user can mend.
        RuntimeError: what was reloaded is not what was saved, or the loss is not finite.
    """
    run = replace(run, keeping=replace(run.keeping, log_every=_STEPS // 2))
    stop = StopRequest()
    stop.listen()
    terminal, say = open_terminal(find_place())
    session, folder = open_session(run, attempt, say=say, suffix="-smoke")
    first = session.world.place.first
    if first:
        folder.clear()
        folder.path.mkdir(parents=True)
    session.world.wait()
    rates = Rates()
    tracker = Trackers([rates, *_terminal(terminal, session, folder.path)]) if terminal else Silent()
    checkpoints = Checkpoints(folder.path, identity=session.identity, say=say)

    state = session.new_state()
    step = session.new_step(state)
    parts = {"tracker": tracker, "save": lambda: None, "stop": stop, "restarts": 0}
    if session.new_loop(step, **parts).run(until=_STEPS):
        attempt.state, attempt.message = "requeue", "the smoke test was told to stop"
        return
    speed = rates.images_per_s, rates.data_wait
    _evaluate_briefly(session, state.average.model, say=say)
    if first:
        checkpoints.save(state.state_dict())
    session.world.wait()
    saved = checkpoints.load()
    assert saved is not None
    again = session.new_state()
    again.load_state_dict(saved)
    if again.step != state.step:
        raise RuntimeError(f"the checkpoint is at step {again.step}, but step {state.step} was saved")
    session.new_loop(session.new_step(again), **parts).run(until=state.step + _AFTER)
    attempt.step, attempt.message = again.step, "smoke test passed"
    tracker.close(state="done")
    if not float(again.average.stats.values.isfinite().all()):
        raise RuntimeError("the running statistics are not finite")
    if first:
        print(f"SMOKE OK  {speed[0]:.0f} images/s  data wait {100 * speed[1]:.1f} %", flush=True)


def _terminal(terminal: Terminal, session: Session, folder: Path) -> list[Terminal]:
    course = session.course
    terminal.begin(
        log=folder / "log.txt", steps=course.steps, steps_per_epoch=course.steps_per_epoch, batch=course.batch
    )
    return [terminal]


def _evaluate_briefly(session: Session, model: nn.Module, *, say: Say) -> None:
    """Evaluates the first few batches of every rank."""
    size, world = session.run.evaluation.eval_batch, session.world.place.world_size
    count = min(len(session.data.val), _EVAL_BATCHES * world * size)

    def some() -> Iterator[MicroBatch]:
        return islice(session.eval_batches(), _EVAL_BATCHES)

    score, _ = evaluate(
        model, some, images=count, device=session.world.device, group=session.world.host_group
    )
    say(f"evaluated {score.images} of {len(session.data.val)} images: loss {score.loss:.3f}")
