"""metrics.jsonl: every record of a run, one JSON object a line."""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from launch.engine.ports import Record
from launch.track.backlog import Backlog


class Jsonl:
    """Appends records to a file, each line as soon as it can be written.

    What the file system refuses waits in memory, in order, and is tried again with each record; this is said
    once, until the file is whole again. Only opening the file raises.

    A resumed run goes back to its checkpoint's step, and so does the file: what was measured after it is
    dropped before the first new record is written, by an atomic rewrite. A line torn by a crash is dropped
    too.

    Args:
        path: the file; its folder must exist.
        say: shows one line.
        resume_step: optimizer steps taken by the state that training starts from; 0 for a fresh one.
        owes_score: the evaluation at that step is still to come.

    Attributes:
        found: the whole records of earlier attempts, in order.
        kept: those of them that were kept.
    """

    def __init__(
        self, path: Path, *, say: Callable[[str], None], resume_step: int = 0, owes_score: bool = False
    ) -> None:
        self.say = say
        self.found = _read(path)
        self.kept = tuple(_cut_back(path, self.found, resume_step=resume_step, owes_score=owes_score))
        self._backlog = Backlog(path)
        self._told = self._told_missing = False

    def write(self, record: Record) -> None:
        """Appends `record`. A number that is not finite, which JSON cannot say, becomes null."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        self._backlog.add((json.dumps(finite, allow_nan=False) + "\n").encode())
        if self._backlog.error is not None and not self._told:
            name = self._backlog.path.name
            self.say(
                f"{name} cannot be written: {self._backlog.error}; its lines wait in memory until it can be"
            )
        self._told = self._backlog.error is not None

    def missing(self) -> str | None:
        """Tries once more to write what waits; returns what still does, and why, or None."""
        backlog = self._backlog
        backlog.flush()
        if not backlog.lines:
            return None
        self._told_missing = True
        count, step = len(backlog.lines), json.loads(backlog.lines[0])["step"]
        lines = f"the last {count} lines" if count > 1 else "the last line"
        where = f"{lines} of {backlog.path}, from step {step} on,"
        return f"{where} cannot be written: {backlog.error}; what is in them is lost"

    def close(self, *, state: str) -> None:
        """Tries once more to write what waits, and says what is lost, unless `missing` has told it."""
        told = self._told_missing
        if (missing := self.missing()) and not told:
            self.say(missing)


def _read(path: Path) -> tuple[dict[str, Any], ...]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return tuple(filter(None, map(_record, lines)))


def _cut_back(
    path: Path, found: Sequence[dict[str, Any]], *, resume_step: int, owes_score: bool
) -> list[dict[str, Any]]:
    """Rewrites the file without what is not to be kept of what was `found` in it, and returns the rest."""
    if not path.exists():
        return []
    records = [r for r in found if r["step"] <= resume_step]
    if owes_score:
        records = [r for r in records if r.get("kind") != "eval" or r["step"] < resume_step]
    kept = _without_the_end(records)
    after = "".join(json.dumps(r) + "\n" for r in kept).encode()
    if after != path.read_bytes():
        whole = path.with_name(path.name + ".tmp")
        with whole.open("wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
    return kept


def _without_the_end(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drops final evaluations and what came with them: they follow the last checkpoint at its own step."""
    measured = [k for k, r in enumerate(records) if r.get("kind") in ("train", "eval") and not r.get("final")]
    last = max(measured, default=-1)
    late = ("bad image", "end")
    return [
        r for k, r in enumerate(records) if not r.get("final") and (k < last or r.get("event") not in late)
    ]


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where a crash has left less than a whole one."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None
