"""The modes of launch/benchmark.py that measure: which ways each compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from launch.arguments import UsageError
from launch.attempt import Attempt, Missed
from launch.benchmarking.asked import Asked
from launch.benchmarking.feeding import feeding_ways
from launch.benchmarking.peer import find_peer, peer_ways
from launch.benchmarking.result import report
from launch.benchmarking.scaling import scaling_ways
from launch.benchmarking.starting import starting_ways
from launch.benchmarking.stepping import stepping_ways
from launch.benchmarking.whole import train_some
from launch.engine.distributed import find_place
from launch.opening import Say, open_session, open_terminal
from launch.timing.promises import PROMISED, broken
from launch.timing.rounds import Figures, take_turns
from pipeline.index import open_index
from pipeline.synthetic import demo_folder

Ways = dict[str, Callable[[], Figures]]

_STEPS_OF_MODEL = 10

_WARM = ("train", "scale")
"""Modes whose every turn leaves out its own first steps."""


def measure(mode: str, asked: Asked, attempt: Attempt) -> None:
    """Measures, and prints the table on rank 0.

    Raises:
        UsageError, ValueError, FileNotFoundError: something the user can mend.
        Missed: `asked.check`, and a figure is not what is promised.
    """
    if asked.check and mode not in PROMISED:
        raise UsageError(f"--check is of {' and '.join(PROMISED)}: nothing is promised of {mode}")
    place = find_place()
    _, say = open_terminal(place)
    attempt.silent = True
    if asked.run.data is None:
        say("no --data: the drawn images of the demo are measured")
        asked = replace(asked, run=replace(asked.run, data=demo_folder(say=say)))
    # Of the full size, which the report names: where images grow, a run's first steps are of smaller ones.
    full = replace(asked.run, augmentation=replace(asked.run.augmentation, start_size=None))
    asked = replace(asked, run=full)
    ways = _MODES[mode](asked, attempt, say)
    measured = take_turns(ways, rounds=asked.rounds, say=say, warmup=mode not in _WARM)
    if not place.first:
        return
    print(report(mode, asked, measured, threads=torch.get_num_threads()), flush=True)
    if asked.check and (missed := broken(mode, measured)):
        raise Missed("; ".join(missed))


def _input(asked: Asked, attempt: Attempt, say: Say) -> Ways:
    packed = open_index(asked.packed / "train", say=say) if asked.packed else None
    session, _folder = open_session(asked.run, attempt, say=say, suffix="-benchmark")
    return feeding_ways(session, packed=packed, seconds=asked.seconds)


def _model(asked: Asked, attempt: Attempt, say: Say) -> Ways:
    session, _folder = open_session(asked.run, attempt, say=say, suffix="-benchmark")
    return stepping_ways(session, steps=_STEPS_OF_MODEL)


def _train(asked: Asked, attempt: Attempt, say: Say) -> Ways:
    if asked.against is not None:
        assert asked.run.data is not None
        peer = find_peer(checkout=asked.against, python=asked.peer_python)
        return peer_ways(
            peer,
            data=asked.run.data,
            width=asked.run.variant.removeprefix("rexnet_"),
            size=asked.run.augmentation.image_size,
            batch=asked.run.batch,
            workers=asked.run.feeding.workers,
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
    session, _folder = open_session(asked.run, attempt, say=say, suffix="-benchmark")
    return {"train": lambda: train_some(session, steps=asked.steps, stop=attempt.stop)}


def _scale(asked: Asked, _: Attempt, _say: Say) -> Ways:
    return scaling_ways(asked.run, most=asked.processes, threads=torch.get_num_threads(), steps=asked.steps)


def _startup(asked: Asked, _: Attempt, _say: Say) -> Ways:
    return starting_ways(asked.run)


_MODES = {"input": _input, "model": _model, "train": _train, "scale": _scale, "startup": _startup}
