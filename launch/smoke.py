"""The smoke test: the real data and the real program for 25 steps, with a reload in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from torch import nn

from launch.attempt import Attempt
from launch.config import Run
from launch.engine.checkpoint import Checkpoints
from launch.engine.distributed import find_place
from launch.engine.keeper import Keeper, NoKeeper
from launch.engine.metrics import evaluate
from launch.engine.ports import MicroBatch, Record, Tracker
from launch.engine.state import TrainState
from launch.engine.writer import Writer
from launch.opening import Say, open_session, open_terminal
from launch.scoring import eval_batches
from launch.session import Session
from launch.track.terminal import Terminal
from launch.track.trackers import Silent, Trackers

_STEPS = 20
_AFTER = 5
_EVAL_BATCHES = 4


class Rates:
    """Keeps speed and loss of the last line of metrics; the first one holds the start-up."""

    def __init__(self) -> None:
        self.images_per_s = 0.0
        self.data_wait = 0.0
        self.loss = 0.0

    def write(self, record: Record) -> None:
        if record["kind"] == "train":
            self.images_per_s = float(record["speed/images_per_s"])
            self.data_wait = float(record["speed/data_wait"])
            self.loss = float(record["train/loss"])

    def close(self, *, state: str) -> None:
        """Nothing to close."""


def smoke(run: Run, attempt: Attempt) -> None:
    """Trains 20 steps, evaluates a little, saves, reloads, trains 5 steps; the last line is SMOKE OK.

    Raises:
        ValueError, FileNotFoundError: something the user can mend.
        RuntimeError: what was reloaded is not what was saved, or the loss is not finite.
    """
    run = replace(run, keeping=replace(run.keeping, log_every=_STEPS // 2))
    terminal, say = open_terminal(find_place())
    session, folder = open_session(run, attempt, say=say, suffix="-smoke")
    first = session.world.place.first
    if first:
        folder.path.mkdir(parents=True, exist_ok=True)
    rates = Rates()
    tracker = Trackers([rates, *_terminal(terminal, session, folder.path)]) if terminal else Silent()
    checkpoints = Checkpoints(folder.path, fields=session.fields(), say=say)

    state = session.new_state()
    step = session.new_step(state)
    attempt.stop.defer(say)
    parts = {"tracker": tracker, "save": NoKeeper(), "stop": attempt.stop, "restarts": 0}
    if session.new_loop(step, **parts).run(until=_STEPS):
        return _stop(attempt, tracker)
    speed = rates.images_per_s, rates.data_wait
    _evaluate_briefly(session, state.average.model, say=say)
    again = _reload(session, checkpoints, state)
    if session.new_loop(session.new_step(again), **parts).run(until=state.step + _AFTER):
        return _stop(attempt, tracker)
    tracker.close(state="done")
    attempt.step, attempt.message = again.step, "smoke test passed"
    if first:
        if not math.isfinite(rates.loss):
            raise RuntimeError(f"the loss is {rates.loss} after {again.step} steps")
        print(f"SMOKE OK  {speed[0]:.0f} images/s  data wait {100 * speed[1]:.1f} %", flush=True)


def _stop(attempt: Attempt, tracker: Tracker) -> None:
    attempt.state, attempt.message = "requeue", "the smoke test was told to stop"
    tracker.close(state="requeue")


def _reload(session: Session, checkpoints: Checkpoints, state: TrainState) -> TrainState:
    """Saves the state on rank 0, and returns on every rank what a new start would load."""
    if session.world.place.first:
        with closing(Writer()) as writer:
            save = Keeper(checkpoints, state, writer=writer, pin=session.world.pin)
            for _ in save(due=True, wait=True):
                pass
    session.world.wait()
    saved = checkpoints.load()
    assert saved is not None
    again = session.new_state()
    again.load_state_dict(saved)
    weights = zip(state.model.state_dict().items(), again.model.state_dict().values(), strict=True)
    differing = [name for (name, ours), theirs in weights if not ours.equal(theirs)]
    if again.step != state.step or differing:
        raise RuntimeError(
            f"the checkpoint holds step {again.step} for {state.step}; other weights: {differing}"
        )
    return again


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
        return islice(eval_batches(session), _EVAL_BATCHES)

    score, _ = evaluate(
        model,
        some,
        images=count,
        device=session.world.device,
        group=session.world.host_group,
        memory_format=session.layout.memory_format,
    )
    for bad in score.bad:
        say(f"bad image: {bad}")
    say(f"evaluated {score.images} of {len(session.data.val)} images: loss {score.loss:.3f}")
