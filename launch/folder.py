"""A run's folder: its name, its lock, run.json and attempt.json."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from launch.config import Run, identity_fields

_ROOT = Path("runs")


def run_folder(run: Run, *, identity: str) -> Path:
    """Returns the folder that the run was given, or the one its identity names."""
    return run.out or _ROOT / f"{run.recipe}-{identity}"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run. Only rank 0 writes them."""

    path: Path

    @property
    def record(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    def facts(self) -> dict[str, Any] | None:
        """Returns what run.json says, or None before the first start."""
        if not self.record.exists():
            return None
        return json.loads(self.record.read_text())

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Writes run.json, atomically."""
        write_json(self.record, facts)

    def result(self) -> str | None:
        """Returns the result in words, or None as long as the run has not ended."""
        if not (self.path / "model.safetensors").exists():
            return None
        lines = map(json.loads, (self.path / "metrics.jsonl").read_text().splitlines())
        results = [line["result"] for line in lines if line.get("event") == "end"]
        return results[-1] if results else None

    def check_same_run(self, run: Run, *, identity: str) -> None:
        """Refuses a folder that holds another run.

        Raises:
            ValueError: it does; the message names the settings that differ.
        """
        facts = self.facts()
        if facts is None or facts["identity"] == identity:
            return
        old, new = _flat(facts["identity_fields"]), _flat(identity_fields(run))
        differing = [
            f"{name} {old.get(name)!r} -> {new.get(name)!r}" for name in new if old.get(name) != new.get(name)
        ]
        what = ", ".join(differing) or "the data set"
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

    def lock(self) -> TextIO:
        """Makes the folder and holds it until the returned file is closed.

        Raises:
            ValueError: another process holds it; the message names that one.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file = (self.path / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ValueError(
                f"{self.path} is being trained by {holder}; stop that one, or take another --out"
            ) from None
        file.truncate(0)
        job = os.environ.get("SLURM_JOB_ID")
        file.write(f"process {os.getpid()} on {socket.gethostname()}" + (f", job {job}" if job else ""))
        file.flush()
        return file


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(json.dumps(content, indent=1) + "\n")
    fresh.replace(path)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
