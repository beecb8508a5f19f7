"""What a run's folder says: run.json, metrics.jsonl and attempt.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = {"ema": "EMA weights", "model": "trained weights"}
"""What the `weights` of a record are called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """The files of one run, as plain values."""

    name: str
    facts: dict[str, Any]
    records: list[dict[str, Any]]
    attempt: dict[str, Any]
    """How the last attempt ended, by attempt.json; empty when none has."""

    @property
    def state(self) -> str:
        """done, requeue, user-error, fault or running. A run whose records end is done before it says so."""
        ended = any(r.get("event") == "end" for r in self.of_kind("event"))
        return "done" if ended else str(self.attempt.get("state", "running"))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [r for r in self.records if r.get("kind") == kind]


def read(folder: Path) -> RunFiles:
    """Reads the run in `folder`; a line that a crash tore is left out.

    Raises:
        FileNotFoundError: `folder` is no run's folder.
    """
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(f"{folder} has no run.json; name a run's folder, as runs/demo-0123abcd")
    ending = folder / "attempt.json"
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8", errors="replace").splitlines() if metrics.is_file() else []
    return RunFiles(
        name=folder.resolve().name,
        facts=json.loads((folder / "run.json").read_text()),
        records=[record for record in map(_record, lines) if record],
        attempt=json.loads(ending.read_text()) if ending.is_file() else {},
    )


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None
