"""A run's folder: its name, run.json and attempt.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.config import Run, identity_fields
from launch.engine.identity import differences

_ROOT = Path("runs")


def run_folder(run: Run, *, identity: str) -> Path:
    """Returns the folder that the run was given, or the one its identity names."""
    return run.out or _ROOT / f"{run.recipe}-{identity}"


def run_folders(run: Run) -> list[Path]:
    """Returns the folder that the run was given, or all that runs of its recipe have by default."""
    return [run.out] if run.out else sorted(_ROOT.glob(f"{run.recipe}-*"))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run. Only rank 0 writes them."""

    path: Path

    @property
    def record(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    def facts(self) -> dict[str, Any] | None:
        """Returns what run.json says, or None before the first start.

        Raises:
            ValueError: it is damaged.
        """
        if not self.record.exists():
            return None
        try:
            return json.loads(self.record.read_text())
        except ValueError as error:
            raise ValueError(
                f"{self.record} is damaged ({error}); remove it and start again with as many GPUs: "
                "the checkpoint beside it holds what a resume needs"
            ) from None

    def is_begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return any((self.path / name).exists() for name in ("last.pt", "previous.pt"))

    def begun_by_earlier_attempt(self) -> bool:
        """Whether the job that started this process began the run, too, and was queued again: then --fresh is
        done. A damaged run.json tells nothing."""
        try:
            begun = (self.facts() or {}).get("begun_by")
        except ValueError:
            return False
        ours = starter()
        if not begun or ours is None:
            return False
        return begun["job"] == ours["job"] and begun["attempt"] != ours["attempt"]

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Writes run.json, atomically."""
        write_json(self.record, facts)

    def result(self) -> str | None:
        """Returns the result in words, or None as long as the run has not ended."""
        metrics = self.path / "metrics.jsonl"
        if not (self.path / "model.safetensors").exists() or not metrics.exists():
            return None
        ends = [line for line in metrics.read_text().splitlines() if '"event": "end"' in line]
        with suppress(IndexError, ValueError):  # none, or one that a kill has cut off
            return json.loads(ends[-1])["result"]
        return None

    def check_same_run(self, run: Run, *, identity: str) -> None:
        """Refuses a folder that holds another run.

        Raises:
            ValueError: it does; the message names the settings that differ.
        """
        facts = self.facts()
        if facts is None or facts["identity"] == identity:
            return
        what = differences(facts["identity_fields"], identity_fields(run)) or "the data set"
        raise ValueError(
            f"{self.path} holds another run; what differs: {what}. Take another --out, or --fresh to move it "
            "aside"
        )

    def move_aside(self) -> Path | None:
        """Renames an earlier folder to the first free NAME.1, NAME.2 ...; returns its new name."""
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        self.path.rename(aside)
        return aside


def starter() -> dict[str, str] | None:
    """Returns the job whose launcher has started this process, and which attempt this is; None by hand.

    A launcher names a file for the attempt's end: JOB.ATTEMPT.json.
    """
    named = os.environ.get("REXNET_ATTEMPT", "").removesuffix(".json").rpartition(".")
    return {"job": named[0], "attempt": named[2]} if named[0] else None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
