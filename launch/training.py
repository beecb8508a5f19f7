"""The training program: resume where the run stands, train to its end, keep what it made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from launch.attempt import Attempt
from launch.cli import Command
from launch.config import Run
from launch.engine.agreement import Interrupted
from launch.engine.checkpoint import Checkpoints
from launch.engine.distributed import find_place
from launch.engine.loop import Loop
from launch.engine.metrics import Predictions, Score
from launch.engine.ports import Tracker
from launch.engine.state import TrainState
from launch.exhaustion import exhausted
from launch.facts import run_facts
from launch.folder import RunFolder
from launch.opening import open_session, open_terminal
from launch.reporting.page import write_page
from launch.session import Session
from launch.track.jsonl import Jsonl
from launch.track.terminal import Terminal
from launch.track.trackers import Silent, Trackers
from launch.track.weights_and_biases import WeightsAndBiases
from rexnet.weights import save_weights


def train(command: Command, attempt: Attempt) -> None:
    """Trains the run that `command` names, from its newest checkpoint on.

    Raises:
        ValueError, FileNotFoundError: something the user can mend.
    """
    terminal, say = open_terminal(find_place())
    locks: list[TextIO] = []

    def claim(folder: RunFolder, run: Run, key: str) -> None:
        if command.fresh and (aside := folder.move_aside()):
            say(f"The earlier run is now in {aside}")
        folder.check_same_run(run, identity=key)
        locks.append(folder.lock())
        attempt.begin()
        say(f"Run folder: {folder.path}")

    session, folder = open_session(command.run, attempt, say=say, fresh=command.fresh, claim=claim)
    first = session.world.place.first
    session.world.wait()
    state = session.new_state()
    checkpoints = Checkpoints(folder.path, identity=session.identity, say=say)
    saved = checkpoints.load()
    if saved is not None:
        state.load_state_dict(saved)
    if state.step == session.course.steps and (result := folder.result()):
        attempt.step, attempt.message = state.step, result
        say(f"This run is finished: {attempt.message}. {folder.path} holds it; --fresh starts anew")
        return
    facts = run_facts(session, earlier=folder.facts())
    if first:
        folder.write_facts(facts)
    step = session.new_step(state)
    tracker = _trackers(terminal, session, folder, facts, state) if terminal else Silent()
    loop = session.new_loop(
        step,
        tracker=tracker,
        save=_save(checkpoints, state) if first else _nothing,
        stop=attempt.stop,
        restarts=facts["restarts"],
    )
    session.world.watch(
        timeout=timedelta(minutes=command.run.keeping.timeout),
        stop=attempt.stop,
        end=lambda message: attempt.give_up(message, step=state.step, progress=loop.progress),
    )
    attempt.stop.defer(say)
    ending = "fault"
    try:
        tracker.write(loop.event("resume" if state.step else "start", folder=str(folder.path)))
        attempt.state, attempt.message = _run(session, loop, folder, tracker)
        attempt.step, ending = state.step, attempt.state
        if first:
            attempt.record()  # before W&B is closed, which may wait for a network
    finally:
        attempt.step = state.step
        tracker.close(state=ending)
    say(attempt.message)
    if first:
        if isinstance(tracker, Trackers):
            folder.write_facts({**facts, "wandb": {**facts["wandb"], **_wandb_found(tracker)}})
        say(f"Weights, metrics and report: {write_page(folder.path).parent}")
    for lock in locks:
        lock.close()


def _trackers(
    terminal: Terminal, session: Session, folder: RunFolder, facts: dict[str, Any], state: TrainState
) -> Trackers:
    metrics = folder.path / "metrics.jsonl"
    jsonl = Jsonl(metrics, resume_step=state.step)
    terminal.begin(
        log=folder.path / "log.txt",
        steps=session.course.steps,
        steps_per_epoch=session.course.steps_per_epoch,
        batch=session.course.batch,
    )
    wandb = WeightsAndBiases(folder.path, facts=facts, say=terminal.say, earlier=jsonl.kept)
    return Trackers([jsonl, terminal, wandb])


def _save(checkpoints: Checkpoints, state: TrainState) -> Callable[[], None]:
    return lambda: checkpoints.save(state.state_dict())


def _nothing() -> None:
    """What ranks that write nothing do instead."""


def _run(session: Session, loop: Loop, folder: RunFolder, tracker: Tracker) -> tuple[str, str]:
    """Trains and, at the course's end, writes the results; returns the attempt's state and message."""
    try:
        if not loop.run():
            return "done", _finish(session, loop, folder, tracker)
    except RuntimeError as error:
        if exhausted(error) is None:
            session.world.pulse.explain()  # does not return if that was for the want of another rank
        raise
    except Interrupted:  # in the final evaluation; the last checkpoint holds all that was trained
        pass
    tracker.write(loop.event("stop"))
    return "requeue", f"stopped as asked at step {loop.state.step}; the same command goes on"


def _wandb_found(tracker: Trackers) -> dict[str, str | None]:
    """Returns how W&B took the run, for run.json."""
    wandb = next(t for t in tracker.trackers if isinstance(t, WeightsAndBiases))
    return {"mode": wandb.mode, "url": wandb.url}


def _finish(session: Session, loop: Loop, folder: RunFolder, tracker: Tracker) -> str:
    """Scores the final weights and writes the results; returns them as one line."""
    state = loop.state
    plain, _ = session.score(state.model, stop=loop.stop)
    score, predictions = session.score(state.average.model, stop=loop.stop, keep=True)
    loop.write_score(plain, weights="model")
    loop.write_score(score, weights="ema", final=1)
    line = result_line(session, score)
    if session.world.place.first:
        assert predictions is not None
        _write_predictions(predictions, folder.path / "predictions.npz")
        save_weights(state.average.model, folder.path / "model.safetensors", variant=session.run.variant)
        tracker.write(loop.event("end", result=line))
    return line


def result_line(session: Session, score: Score) -> str:
    """Returns the headline: the final accuracies, beside the official ones where there are any."""
    line = (
        f"Acc@1 {score.acc1:.2f} %  Acc@5 {score.acc5:.2f} %  over {score.images} images, final EMA weights"
    )
    references = session.references()
    if not references:
        return line
    acc1, acc5 = references["official/acc1"], references["official/acc5"]
    return f"{line};  official {acc1:.2f} / {acc5:.2f} %, gap {score.acc1 - acc1:+.2f}"


def _write_predictions(predictions: Predictions, path: Path) -> None:
    fresh = path.with_name(path.name + ".tmp.npz")
    np.savez_compressed(
        fresh,
        ids=predictions.ids,
        labels=predictions.labels,
        top5=predictions.top5,
        probabilities=predictions.probabilities,
    )
    fresh.replace(path)
