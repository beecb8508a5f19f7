"""Where rank 0's records go: metrics.jsonl, W&B, the terminal; and what run.json learns from them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from launch.engine.faults import Fault
from launch.engine.ports import Record
from launch.engine.state import TrainState
from launch.folder import RunFolder
from launch.hold import Guard, Hold
from launch.pictures import draw_pictures
from launch.session import Session
from launch.track.jsonl import Jsonl
from launch.track.ledger import Ledger
from launch.track.terminal import Terminal
from launch.track.trackers import Trackers
from launch.track.weights_and_biases import Picture, WeightsAndBiases


class Tracking:
    """The trackers of a training.

    Args:
        facts: the content of run.json.
        state: what training starts from.
    """

    def __init__(
        self,
        hold: Hold,
        terminal: Terminal,
        session: Session,
        folder: RunFolder,
        *,
        facts: dict[str, Any],
        state: TrainState,
    ) -> None:
        self.session, self.folder, self.facts, self.terminal = session, folder, facts, terminal
        self.begins = state.step == 0
        owed = session.course.owes_score(step=state.step, scored=state.scored)
        self.jsonl = jsonl = Jsonl(
            folder.path / "metrics.jsonl", say=terminal.say, resume_step=state.step, owes_score=owed
        )
        terminal.begin(
            log=folder.path / "log.txt",
            steps=session.course.steps,
            steps_per_epoch=session.course.steps_per_epoch,
            batch=session.course.batch,
        )
        self.wandb = WeightsAndBiases(folder.path, facts=facts, say=terminal.say, earlier=jsonl.kept)
        ledger = Ledger(
            Trackers([jsonl, self.wandb]),
            processes=session.plan.ranks,
            began=hold.attempt.began,
            earlier=jsonl.found,
            kept=jsonl.kept,
        )
        self.trackers = Trackers([Guard(hold), ledger, terminal])

    def show_images(self) -> None:
        """Draws the run's first training images, where it is asked for and the run begins."""
        if not (self.begins and self.session.run.keeping.track_images):
            return
        file = self.folder.path / "images.png"
        try:
            caption = draw_pictures(self.session, file)
        except (ValueError, OSError, RuntimeError) as error:  # damaged images: training has a way with them
            self.terminal.say(f"no training images are drawn: {error}")
        else:
            self.terminal.say(f"{file}: {caption}")
            self.wandb.show(Picture(file, caption))

    def write(self, record: Record) -> None:
        self.trackers.write(record)
        self._note_address()

    def check(self) -> None:
        """Raises a Fault where lines of metrics cannot be written, as a run without them is not done."""
        if missing := self.jsonl.missing():
            raise Fault(f"{missing}. Mend that, and the same command goes on from the newest checkpoint")

    def close(self, *, state: str) -> None:
        self.trackers.close(state=state)
        self._note_address()

    @property
    def words(self) -> str | None:
        """Where W&B shows the run, or how to bring it there; once the trackers are closed."""
        return self.wandb.words

    def _note_address(self) -> None:
        """Keeps in run.json how W&B took the run, as soon as that is known."""
        if self.wandb.mode == "starting":
            return
        known = {**self.facts["wandb"], "mode": self.wandb.mode}
        known["url"] = self.wandb.url or known["url"]
        if known != self.facts["wandb"]:
            self.facts = {**self.facts, "wandb": known}
            with suppress(OSError):  # a full disk, or a folder that is gone for a while, ends no training
                if self.folder.record.exists():
                    self.folder.write_facts(self.facts)
