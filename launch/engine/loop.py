"""The run, read top to bottom."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from typing import NoReturn

import torch.distributed as dist
from torch import nn

from launch.engine.agreement import Agreement, Interrupted
from launch.engine.bad_images import Bad, check_bad
from launch.engine.config import Ema, Keeping, Optim
from launch.engine.course import Course
from launch.engine.divergence import diagnose
from launch.engine.meter import Meter, Waiting
from launch.engine.metrics import Score
from launch.engine.ports import Record, Saver, Tracker, TrainBatches
from launch.engine.preemption import StopRequest
from launch.engine.pulse import Pulse, silent_pulse
from launch.engine.schedule import ema_decay, learning_rate
from launch.engine.step import Step

_CHECKPOINT = {"seconds": "s", "stall": "stall_s"}
"""What a checkpoint's event tells, and what the lines of metrics after it call it."""


class Loop:
    """Trains a state along a course.

    Args:
        batches: the stream of this rank's micro-batches.
        score: evaluates a model over all ranks; raises Interrupted when one of them was asked to stop.
        scored: what its figures are called: eval, or held-out where these are of other images.
        save: saves the state; only rank 0's does anything.
        references: published figures that stand beside every evaluation.
        max_bad: share of the training images that may prove bad.
        max_skipped: steps in a row that may be skipped.
        name_image: gives the file of a training image.
        group: connects the hosts' memory; None is the default group.
        restarts: how often the run was taken up again.
        pulse: this rank's signs of life.

    Attributes:
        progress: whether this attempt has saved a checkpoint.
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
        scored: str = "eval",
        max_bad: float,
        max_skipped: int,
        name_image: Callable[[int], str],
        group: dist.ProcessGroup | None = None,
        pulse: Pulse | None = None,
    ):
        self.course, self.step, self.state = course, step, step.state
        self.optim, self.ema, self.keeping = optim, ema, keeping
        self.batches, self.score, self.save = batches, score, save
        self.scored = scored
        self.tracker, self.stop, self.references, self.restarts = tracker, stop, references, restarts
        self.pulse, self.progress = pulse or silent_pulse(), False
        self.max_bad, self.max_skipped, self.name_image, self.group = max_bad, max_skipped, name_image, group
        self._saved: dict[str, float | int | str] = {}

    def run(self, *, until: int | None = None) -> bool:
        """Trains up to the course's end, or step `until`; returns whether it was told to stop earlier.

        Scores the average past every epoch but the last, whose score is the run's result and its caller's.

        Raises:
            ValueError: more training images have proved bad, or more steps in a row were skipped, than are
                allowed. The newest checkpoint stays as it is.
        """
        course, state = self.course, self.state
        end = course.steps if until is None else min(until, course.steps)
        if state.step >= end:
            return False
        owed = course.owes_score(step=state.step, scored=state.scored)
        if owed and self._score_average():
            return True
        with closing(self.batches(from_step=state.step, to_step=end)) as stream:
            return self._train(Waiting(stream, kept=self.step.accumulation, pulse=self.pulse), end=end)

    def _train(self, waiting: Waiting, *, end: int) -> bool:
        course, state = self.course, self.state
        meter = Meter(self.step, waiting, group=self.group)
        saved = time.monotonic()
        while state.step < end:
            lr = learning_rate(
                self.optim, step=state.step, steps=course.steps, steps_per_epoch=course.steps_per_epoch
            )
            decay = ema_decay(self.ema, step=state.step, steps_per_epoch=course.steps_per_epoch)
            self.pulse.note(f"in step {state.step + 1}")
            self.step(waiting, lr=lr, decay=decay)
            if not (course.is_boundary(state.step) or state.step == end):
                continue
            metrics, told = meter.read(stop=self.stop.asked)
            self.name_bad(meter.found)
            self.tracker.write(self.train_record(metrics, lr=lr))
            check_bad(state.bad, share=self.max_bad, images=course.images)
            if state.streak >= self.max_skipped:
                self._stop_diverged(waiting, lr=lr)
            epoch_over = course.ends_epoch(state.step)
            if epoch_over and not told and state.step < course.steps:
                told = self._score_average()
            due = epoch_over or time.monotonic() - saved >= 60 * self.keeping.checkpoint_minutes
            saved = time.monotonic() if due else saved
            self._save(due=due, wait=told or state.step == course.steps)
            if told:
                return True
            meter.restart()
        return False

    def _score_average(self) -> bool:
        """Scores the average; returns whether a rank was asked to stop, before or after that was done."""
        try:
            score = self.score(self.state.average.model)
        except Interrupted:
            return True
        self.write_score(score, weights="ema", group=self.scored)
        self.state.scored = self.state.step
        agreement = Agreement(self.stop, group=self.group)
        agreement.ask()
        return agreement.read()

    def _stop_diverged(self, waiting: Waiting, *, lr: float) -> NoReturn:
        diverged = diagnose(
            self.step,
            waiting.ids,
            lr=lr,
            max_skipped=self.max_skipped,
            name_image=self.name_image,
            group=self.group,
        )
        self.tracker.write(self.event("diverged", images=", ".join(diverged.images)))
        raise diverged

    def train_record(self, metrics: Mapping[str, float | str], *, lr: float) -> Record:
        """Returns the line of metrics.jsonl for training since the last line."""
        counts = {"health/restarts": self.restarts, "health/bad_images": len(self.state.bad)}
        counts["health/failed_saves"] = self.save.failed
        return {**self._line("train"), **metrics, "train/lr": lr, **counts, **self._saved}

    def name_bad(self, found: Sequence[Bad]) -> None:
        """Writes an event for each bad image that the run does not know yet, and keeps it."""
        known = {(bad.split, bad.id) for bad in self.state.bad}
        for bad in found:
            if (bad.split, bad.id) not in known:
                self.state.bad.append(bad)
                self.tracker.write(self.event("bad image", split=bad.split, file=bad.file, fault=bad.fault))

    def write_score(self, score: Score, *, weights: str, group: str = "eval", **facts: int) -> None:
        """Writes the line of metrics.jsonl for one evaluation, after the images that proved bad in it.

        Args:
            group: what the metrics are called: eval for the validation images at the headline's size, beside
                which published figures may stand.
        """
        self.name_bad(score.bad)
        self.tracker.write({**self._eval_record(score, weights=weights, group=group), **facts})

    def _eval_record(self, score: Score, *, weights: str, group: str) -> Record:
        figures: dict[str, float | int | str] = {
            "weights": weights,
            f"{group}/acc1": score.acc1,
            f"{group}/acc5": score.acc5,
            f"{group}/loss": score.loss,
            f"{group}/images": score.images,
        }
        if group != "eval":
            return self._line("eval") | figures
        if weights == "ema":
            figures["health/ema_distance"] = self.state.average.distance(self.state.model)
        figures |= self.references
        for name, ours in (("acc1", score.acc1), ("acc5", score.acc5)):
            if f"official/{name}" in self.references:
                figures[f"gap/{name}"] = ours - self.references[f"official/{name}"]
        return self._line("eval") | figures

    def _save(self, *, due: bool, wait: bool) -> None:
        self.pulse.note("saving")
        with self.stop.hold() if wait else nullcontext():
            for name, facts in self.save(due=due, wait=wait):
                self.tracker.write(self.event(name, **facts))
                if name == "checkpoint":
                    self._saved = {f"cost/checkpoint_{n}": facts[f] for f, n in _CHECKPOINT.items()}
        self.progress |= due or wait

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
