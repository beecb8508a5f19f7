"""The training program: resume where the run stands, train to its end, keep what it made."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from launch.attempt import Attempt
from launch.cli import Command
from launch.engine.agreement import Interrupted
from launch.engine.checkpoint import Checkpoints
from launch.engine.distributed import find_place
from launch.engine.faults import Fault, Superseded
from launch.engine.loop import Loop
from launch.engine.ports import Tracker
from launch.engine.state import TrainState
from launch.exhaustion import exhausted
from launch.facts import run_facts
from launch.finishing import finish
from launch.folder import RunFolder
from launch.hold import Hold
from launch.opening import Say, open_session, open_terminal
from launch.reporting import run_files
from launch.reporting.ending import ending_lines
from launch.reporting.page import write_page
from launch.session import Session
from launch.track.trackers import Silent
from launch.tracking import Tracking


def train(command: Command, attempt: Attempt) -> None:
    """Trains the run that `command` names, from its newest checkpoint on.

    Raises:
        ValueError, FileNotFoundError: something the user can mend.
        Fault: the run cannot go on, or its last state cannot be saved.
    """
    terminal, say = open_terminal(find_place())
    with closing(Hold(attempt, say=say)) as hold:
        session, folder = open_session(command.run, attempt, say=say, fresh=command.fresh, claim=hold.take)
        session.world.wait()
        state, checkpoints = _resume(session, folder, say=say)
        if state.step == session.course.steps and (result := folder.result()):
            attempt.step, attempt.message = state.step, result
            say(f"This run is finished: {attempt.message}. {folder.path} holds it; --fresh starts anew")
            return
        save = hold.keeper(checkpoints, state, world=session.world)
        first, tracker, restarts = session.world.place.first, Silent(), 0
        if terminal:
            facts = run_facts(session, state.optimizer, earlier=folder.facts())
            folder.write_facts(facts)
            restarts = facts["restarts"]
            tracker = Tracking(hold, terminal, session, folder, facts=facts, state=state)
        loop = session.new_loop(
            session.new_step(state),
            tracker=tracker,
            save=save,
            stop=attempt.stop,
            restarts=restarts,
        )
        session.world.watch(
            timeout=timedelta(minutes=command.run.keeping.timeout),
            stop=attempt.stop,
            end=lambda message, hosts: attempt.give_up(
                message, hosts=hosts, step=state.step, progress=loop.progress
            ),
        )
        attempt.stop.defer(say)
        ending = "fault"
        try:
            tracker.write(loop.event("resume" if state.step else "start", folder=str(folder.path)))
            if isinstance(tracker, Tracking):
                tracker.show_images()
            for file, fault in checkpoints.damaged.items():
                tracker.write(loop.event("damaged checkpoint", file=str(file), fault=fault))
            attempt.state, attempt.message = _run(session, loop, folder, tracker, hold=hold)
            attempt.step = state.step
            if isinstance(tracker, Tracking):
                hold.check()
                tracker.check()
                attempt.record()  # before W&B is closed, which may wait for a network
            ending = attempt.state
        finally:
            attempt.step = state.step
            with suppress(Superseded):  # what has ended the attempt is told; but lines may wait to be written
                hold.check()
            if not attempt.barred:
                tracker.close(state=ending)
        if attempt.state != "done":
            say(attempt.message)
        if first:
            hold.check()
            tell_ending(folder.path, say=say)
        if isinstance(tracker, Tracking) and tracker.words:
            say(tracker.words)


def _resume(session: Session, folder: RunFolder, *, say: Say) -> tuple[TrainState, Checkpoints]:
    """Returns the state of the newest whole checkpoint, or the first one; the same on every rank."""
    state = session.new_state()
    checkpoints = Checkpoints(folder.path, fields=session.fields(), say=say)
    saved = checkpoints.load()
    if saved is not None:
        state.load_state_dict(saved)
    steps = [-1] * session.world.place.world_size
    dist.all_gather_object(steps, state.step, group=session.world.host_group)
    if len(set(steps)) > 1:
        raise Fault(
            f"the ranks see different checkpoints in {folder.path}, of steps {sorted(set(steps))}: its file "
            "system shows some machines an old state; start the same command again"
        )
    if session.world.place.first:
        checkpoints.mend()
    return state, checkpoints


def _run(session: Session, loop: Loop, folder: RunFolder, tracker: Tracker, *, hold: Hold) -> tuple[str, str]:
    """Trains and, at the course's end, writes the results; returns the attempt's state and message."""
    try:
        if not loop.run():
            return "done", finish(session, loop, folder, tracker, hold=hold)
    except RuntimeError as error:
        if exhausted(error) is None:
            session.world.pulse.explain()  # does not return if that was for the want of another rank
        raise
    except Interrupted:  # in the final evaluation; the last checkpoint holds all that was trained
        pass
    tracker.write(loop.event("stop"))
    return "requeue", f"stopped as asked at step {loop.state.step}; the same command goes on"


def tell_ending(folder: Path, *, say: Say) -> None:
    """Makes the report page and says the summary. A failure is only said: the run itself has ended well."""
    try:
        write_page(folder)
        say("\n".join(["", *ending_lines(run_files.read(folder), folder=folder)]))
    except Exception as error:
        say(f"No report: {type(error).__name__}: {error}. To try again: python launch/report.py {folder}")
