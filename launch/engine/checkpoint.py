"""Checkpoints that are whole at every instant: last.pt, and previous.pt before it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_FORMAT = 2


class Checkpoints:
    """The two newest checkpoints of a run's folder.

    Args:
        folder: the run's folder.
        identity: hash of all that makes this run this run; another run's checkpoint is refused.
        say: takes one line for the user.
    """

    def __init__(self, folder: Path, *, identity: str, say: Callable[[str], None]):
        self.last = folder / "last.pt"
        self.previous = folder / "previous.pt"
        self.identity = identity
        self.say = say

    def save(self, state: dict[str, Any]) -> None:
        """Writes last.pt and keeps the one before; a kill at any moment leaves a whole last.pt."""
        content = {"format": _FORMAT, "identity": self.identity, "state": state}
        fresh = self.last.with_suffix(".tmp")
        with fresh.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if self.last.exists():
            spare = self.previous.with_suffix(".tmp")
            spare.unlink(missing_ok=True)
            os.link(self.last, spare)
            spare.replace(self.previous)
        fresh.replace(self.last)
        _sync_folder(self.last.parent)

    def load(self) -> dict[str, Any] | None:
        """Returns the newest whole checkpoint's state, or None when there is none yet.

        Raises:
            ValueError: every checkpoint is damaged, or belongs to another run.
        """
        damaged = []
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                content = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # torch.load raises many kinds for a damaged file
                damaged.append(path)
                self.say(f"{path} is damaged ({type(error).__name__}); trying the checkpoint before it")
                continue
            if content["format"] != _FORMAT:
                raise ValueError(
                    f"{path} is of format {content['format']}, but this version reads {_FORMAT}; go on with "
                    "the version that run.json names, or start anew with --fresh"
                )
            if content["identity"] != self.identity:
                raise ValueError(
                    f"{path} belongs to another run than the one asked for; choose another --out, or --fresh"
                )
            return content["state"]
        if damaged:
            raise ValueError(f"no whole checkpoint is left in {self.last.parent}; start anew with --fresh")
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
