"""What a run's folder says: run.json, metrics.jsonl, attempt.json and predictions.npz."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = {"ema": "EMA weights", "model": "trained weights"}
"""What the `weights` of a record are called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guesses:
    """The final predictions: labels [N] and top-5 classes [N, 5] by image; -1 for an image that was bad."""

    labels: np.ndarray
    top5: np.ndarray
    classes: tuple[str, ...]
    """Label i is classes[i]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """The files of one run, as plain values."""

    name: str
    facts: dict[str, Any]
    records: list[dict[str, Any]]
    attempt: dict[str, Any]
    """How the last attempt ended, by attempt.json; empty when none has."""
    guesses: Guesses | None = None
    """None until the run has ended."""

    @property
    def state(self) -> str:
        """done, requeue, user-error, fault or running. A run whose records end is done before it says so."""
        ended = any(r.get("event") == "end" for r in self.of_kind("event"))
        return "done" if ended else str(self.attempt.get("state", "running"))

    def called(self, weights: Any) -> str:
        """What the `weights` of a record are called; where nothing is averaged, all are the trained ones."""
        ema = (self.facts.get("run") or {}).get("ema") or {}
        return WEIGHTS["ema" if weights == "ema" and ema.get("half_life", 1) > 0 else "model"]

    @property
    def final_evaluation(self) -> dict[str, Any] | None:
        """The record of the run's result: the averaged weights over all of val, at its end."""
        found = [r for r in self.of_kind("eval") if r.get("final") and r.get("weights") == "ema"]
        return next((r for r in reversed(found) if "eval/acc1" in r), None)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [r for r in self.records if r.get("kind") == kind]


def read(folder: Path) -> RunFiles:
    """Reads the run in `folder`; a line that a crash tore is left out.

    Raises:
        FileNotFoundError: `folder` is no run's folder.
        ValueError: one of its files is damaged.
    """
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(f"{folder} has no run.json; name a run's folder, as runs/demo-0123abcd")
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8", errors="replace").splitlines() if metrics.is_file() else []
    ending = folder / "attempt.json"
    run = RunFiles(
        name=folder.resolve().name,
        facts=_object(folder / "run.json"),
        records=[record for record in map(_record, lines) if record],
        attempt=_object(ending) if ending.is_file() else {},
    )
    predictions = folder / "predictions.npz"
    if run.state == "done" and predictions.is_file():  # an attempt that was cut short may have left them
        return replace(run, guesses=_guesses(predictions))
    return run


def read_all(folders: Sequence[Path]) -> list[RunFiles]:
    """Reads several runs; those of one name are told apart by their folders' paths.

    Raises:
        FileNotFoundError, ValueError: see `read`.
    """
    runs = [read(folder) for folder in folders]
    names = [run.name for run in runs]
    return [
        replace(run, name=str(folder)) if names.count(run.name) > 1 else run
        for run, folder in zip(runs, folders, strict=True)
    ]


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return content


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _guesses(path: Path) -> Guesses:
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            labels, top5 = file["labels"], file["top5"]
            named = file["classes"].tolist() if "classes" in file else []
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    seen = int(max(labels.max(initial=-1), top5.max(initial=-1))) + 1
    classes = (*map(str, named), *(f"class {i}" for i in range(len(named), seen)))
    return Guesses(labels=labels, top5=top5, classes=classes)
