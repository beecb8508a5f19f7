"""The run, read top to bottom."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import torch.distributed as dist
from torch import nn

from launch.engine.bad_images import Bad, check_bad
from launch.engine.config import Ema, Keeping, Optim
from launch.engine.course import Course
from launch.engine.meter import Meter, Waiting
from launch.engine.metrics import Score
from launch.engine.ports import Record, Saver, Tracker, TrainBatches
from launch.engine.preemption import StopRequest
from launch.engine.schedule import ema_decay, learning_rate
from launch.engine.step import Step


class Loop:
    """Trains a state along a course.

    Args:
        batches: the stream of this rank's micro-batches.
        score: evaluates a model over all ranks.
        save: saves the state; only rank 0's does anything.
        references: published figures that stand beside every evaluation.
        max_bad: share of the training images that may prove bad.
        group: connects the hosts' memory; None is the default group.
        restarts: how often the run was taken up again.
    """

    def __init__(
        self,
        course: Course,
        step: Step,
        *,
        optim: Optim,
        ema: Ema,
        keeping: Keeping,
        batches: TrainBatches,
        score: Callable[[nn.Module], Score],
        save: Saver,
        tracker: Tracker,
        stop: StopRequest,
        references: Mapping[str, float],
        restarts: int,
        max_bad: float,
        group: dist.ProcessGroup | None = None,
    ):
        self.course, self.step, self.state = course, step, step.state
        self.optim, self.ema, self.keeping = optim, ema, keeping
        self.batches, self.score, self.save = batches, score, save
        self.tracker, self.stop, self.references, self.restarts = tracker, stop, references, restarts
        self.max_bad, self.group = max_bad, group

    def run(self, *, until: int | None = None) -> bool:
        """Trains up to the course's end, or step `until`; returns whether it was told to stop earlier.

        Scores the average past every epoch but the last, whose score is the run's result and its caller's.

        Raises:
            ValueError: more training images have proved bad than are allowed.
        """
        course, state = self.course, self.state
        end = course.steps if until is None else min(until, course.steps)
        if state.step >= end:
            return False
        if state.owes_score:
            self._score_epoch()
        with closing(self.batches(from_step=state.step, to_step=end)) as stream:
            return self._train(Waiting(stream), end=end)

    def _train(self, waiting: Waiting, *, end: int) -> bool:
        course, state = self.course, self.state
        meter = Meter(self.step, waiting, group=self.group)
        saved = time.monotonic()
        while state.step < end:
            lr = learning_rate(
                self.optim, step=state.step, steps=course.steps, steps_per_epoch=course.steps_per_epoch
            )
            decay = ema_decay(self.ema, step=state.step, steps_per_epoch=course.steps_per_epoch)
            self.step(waiting, lr=lr, decay=decay)
            if not (course.is_boundary(state.step) or state.step == end):
                continue
            metrics, told = meter.read(stop=self.stop.asked)
            self.name_bad(meter.found)
            self.tracker.write(self.train_record(metrics, lr=lr))
            check_bad(state.bad, share=self.max_bad, images=course.images)
            epoch_over = course.ends_epoch(state.step)
            if epoch_over and state.step < course.steps:
                state.owes_score = told  # there may be no time for it now
                if not told:
                    self._score_epoch()
            due = epoch_over or time.monotonic() - saved >= 60 * self.keeping.checkpoint_minutes
            saved = time.monotonic() if due else saved
            for name, facts in self.save(due=due, wait=told or state.step == course.steps):
                self.tracker.write(self.event(name, **facts))
            if told:
                return True
            meter.restart()
        return False

    def _score_epoch(self) -> None:
        self.write_score(self.score(self.state.average.model), weights="ema")
        self.state.owes_score = False

    def train_record(self, metrics: Mapping[str, float], *, lr: float) -> Record:
        """Returns the line of metrics.jsonl for training since the last line."""
        counts = {"health/restarts": self.restarts, "health/bad_images": len(self.state.bad)}
        counts["health/failed_saves"] = self.save.failed
        return {**self._line("train"), **metrics, "train/lr": lr, **counts}

    def name_bad(self, found: Sequence[Bad]) -> None:
        """Writes an event for each bad image that the run does not know yet, and keeps it."""
        known = {(bad.split, bad.id) for bad in self.state.bad}
        for bad in found:
            if (bad.split, bad.id) not in known:
                self.state.bad.append(bad)
                self.tracker.write(self.event("bad image", split=bad.split, file=bad.file, fault=bad.fault))

    def write_score(self, score: Score, *, weights: str, **facts: int) -> None:
        """Writes the line of metrics.jsonl for one evaluation, after the images that proved bad in it."""
        self.name_bad(score.bad)
        self.tracker.write({**self._eval_record(score, weights=weights), **facts})

    def _eval_record(self, score: Score, *, weights: str) -> Record:
        """Returns an evaluation's figures beside the published ones."""
        figures: dict[str, float | int | str] = {
            "weights": weights,
            "eval/acc1": score.acc1,
            "eval/acc5": score.acc5,
            "eval/loss": score.loss,
            "eval/images": score.images,
        }
        figures |= self.references
        if "official/acc1" in self.references:
            figures["gap/acc1"] = score.acc1 - self.references["official/acc1"]
        return self._line("eval") | figures

    def event(self, name: str, **facts: str | int | float) -> Record:
        """Returns a line of metrics.jsonl that says what happened."""
        return self._line("event") | {"event": name} | facts

    def _line(self, kind: str) -> dict[str, float | int | str]:
        seen = self.state.step * self.course.batch
        return {
            "step": self.state.step,
            "epoch": seen / self.course.images,
            "images_seen": seen,
            "kind": kind,
            "time": time.time(),
        }
