"""Checkpoints that are whole at every instant: last.pt, and previous.pt before it."""

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from launch.engine.identity import differences
from launch.engine.state import TrainState

_FORMAT = 3


class Checkpoints:
    """The two newest checkpoints of a run's folder.

    Args:
        folder: the run's folder.
        fields: nested plain values that make this run this run; a checkpoint with others is refused.
        say: takes one line for the user.

    Attributes:
        damaged: files that `load` found damaged, with what is wrong with them.
    """

    def __init__(self, folder: Path, *, fields: Mapping[str, Any], say: Callable[[str], None]):
        self.folder, self.fields, self.say = folder, dict(fields), say
        self.last = folder / "last.pt"
        self.previous = folder / "previous.pt"
        self.damaged: dict[Path, str] = {}

    def content(self, state: TrainState) -> dict[str, Any]:
        """Returns what a checkpoint of `state` holds; its tensors are the state's own."""
        return {"format": _FORMAT, "fields": self.fields, "state": state.tensors()}

    def load(self) -> dict[str, Any] | None:
        """Returns the newest whole checkpoint's state, or None when there is none yet.

        Raises:
            ValueError: every checkpoint is damaged, or belongs to another run.
        """
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                check_sums(path)
                content = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # zipfile and torch.load raise many kinds for a damaged file
                self.damaged[path] = f"{type(error).__name__}: {error}".splitlines()[0]
                self.say(f"{path} IS DAMAGED ({self.damaged[path]}); trying the checkpoint before it")
                continue
            self._check_same_run(path, content)
            return content["state"]
        if self.damaged:
            raise ValueError(f"no whole checkpoint is left in {self.folder}; start anew with --fresh")
        return None

    def _check_same_run(self, path: Path, content: Mapping[str, Any]) -> None:
        if content["format"] != _FORMAT:
            raise ValueError(
                f"{path} is of format {content['format']}, but this version reads {_FORMAT}; go on with "
                "the version that run.json names, or start anew with --fresh"
            )
        if what := differences(content["fields"], self.fields):
            raise ValueError(
                f"{path} belongs to another run than the one asked for; what differs: {what}. Take another "
                "--out, or --fresh to move it aside"
            )

    def mend(self) -> None:
        """Puts the checkpoint that `load` took in the place of a damaged one, which becomes damaged.pt.

        Else the next checkpoint would keep the damaged one as the one before it. Rank 0's, after every rank
        has loaded.
        """
        for path in self.folder.glob("*.tmp"):  # of a writer that was killed
            path.unlink(missing_ok=True)
        if self.last not in self.damaged:
            return
        for source, target in ((self.last, self.folder / "damaged.pt"), (self.previous, self.last)):
            spare = target.with_suffix(".mend.tmp")
            os.link(source, spare)
            spare.replace(target)


def check_sums(path: Path) -> None:
    """Reads a checkpoint against the CRC-32 of each of its members, which `torch.load` does not check.

    Raises:
        Exception: of many kinds; the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"checksum of {name} does not match")
