"""What a run has cost, over its attempts."""

import json
from pathlib import Path
from typing import Any

import pytest

from launch.track.jsonl import Jsonl
from launch.track.ledger import Ledger

HOUR = 3600.0


def line(step: int, *, at: float, kind: str = "train", **more: Any) -> dict[str, Any]:
    return {"step": step, "kind": kind, "time": at, **more}


def attempt(
    path: Path, lines: list[dict[str, Any]], *, began: float, resume_step: int = 0, processes: int = 2
) -> list[dict[str, Any]]:
    """Writes the lines of one attempt; returns all that is then in the file."""
    jsonl = Jsonl(path, say=pytest.fail, resume_step=resume_step)
    ledger = Ledger(jsonl, processes=processes, began=began, earlier=jsonl.found, kept=jsonl.kept)
    for record in lines:
        ledger.write(record)
    ledger.close(state="done")
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_one_attempt(tmp_path: Path) -> None:
    first = line(0, at=1000.0 + 0.5 * HOUR, kind="event", event="start")
    lines = [line(k, at=1000.0 + k * HOUR, **{"speed/seconds": 0.5 * HOUR}) for k in (1, 2, 3, 4)]
    found = attempt(tmp_path / "m", [first, *lines], began=1000.0)
    assert [r["cost/wall_hours"] for r in found] == [0.5, 1, 2, 3, 4]
    assert [r["cost/gpu_hours"] for r in found] == [1, 2, 4, 6, 8]
    assert [r["cost/goodput"] for r in found[1:]] == [0.5] * 4 and "cost/goodput" not in found[0]
    assert not any("cost/energy_kwh" in r for r in found)


def test_steps_that_are_trained_again_cost_and_are_not_useful(tmp_path: Path) -> None:
    """Killed after step 40 whose last checkpoint is of step 20; goes on a day later on four processes."""
    path = tmp_path / "m"
    full = {"speed/seconds": HOUR}
    attempt(path, [line(10 * k, at=k * HOUR, **full) for k in (1, 2, 3, 4)], began=0.0)
    day = 24 * HOUR
    again = [line(20, at=day + HOUR, kind="event", event="resume")]
    again += [line(10 * k, at=day + (k - 1) * HOUR, **full) for k in (3, 4, 5)]
    found = attempt(path, again, began=day, resume_step=20, processes=4)
    assert [r["step"] for r in found] == [10, 20, 20, 30, 40, 50]
    assert [r["cost/wall_hours"] for r in found] == [1, 2, 5, 6, 7, 8]
    assert [r["cost/gpu_hours"] for r in found] == [2, 4, 12, 16, 20, 24]
    assert found[-1]["cost/goodput"] == pytest.approx(5 / 8)


def test_energy_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "m"
    for k in (1, 2):
        found = attempt(
            path, [line(k, at=k * HOUR, **{"cost/joules": 3.6e6})], began=k * HOUR - 1, resume_step=k - 1
        )
    assert [r["cost/energy_kwh"] for r in found] == [1.0, 2.0]


def test_a_run_that_began_before_there_was_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(json.dumps(line(1, at=5.0)) + "\n")
    found = attempt(tmp_path / "m", [line(2, at=HOUR)], began=0.0, resume_step=1)
    assert found[-1]["cost/wall_hours"] == 1.0
