"""What a run has cost over all its attempts: wall time, how much of it was useful, GPU-hours, energy."""

from collections.abc import Iterable, Mapping
from typing import Any

from launch.engine.ports import Record, Tracker


class Ledger:
    """Adds `cost/` to every record and hands it on.

    The sums of earlier attempts come from the last record that they wrote. So what an attempt did after its
    last checkpoint, and the next one trained again, counts as wall time but not as useful. The time between
    attempts, in which a job waits in a queue, does not count, nor what follows an attempt's last line.

    Args:
        tracker: gets the records.
        processes: of this attempt, each with its GPU.
        began: when this attempt began, in Unix seconds.
        earlier: all records of earlier attempts, also of steps that are to be trained again.
        kept: those of them that stay in metrics.jsonl.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        processes: int,
        began: float,
        earlier: Iterable[Mapping[str, Any]] = (),
        kept: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.tracker, self.processes, self.began = tracker, processes, began
        self._wall, self._gpu_hours, self._energy = _spent(earlier)
        self._useful = sum(_seconds(record) for record in kept)

    def write(self, record: Record) -> None:
        here = max(float(record["time"]) - self.began, 0.0)
        wall = self._wall + here
        self._useful += _seconds(record)
        costs = {
            "cost/wall_hours": wall / 3600,
            "cost/gpu_hours": self._gpu_hours + here * self.processes / 3600,
        }
        if record["kind"] == "train" and wall > 0:
            costs["cost/goodput"] = self._useful / wall
        if "cost/joules" in record:
            self._energy += float(record["cost/joules"]) / 3.6e6
        if self._energy:
            costs["cost/energy_kwh"] = self._energy
        self.tracker.write({**record, **costs})

    def close(self, *, state: str) -> None:
        self.tracker.close(state=state)


def _seconds(record: Mapping[str, Any]) -> float:
    """Seconds that the steps of a line of metrics took."""
    seconds = record.get("speed/seconds")
    return float(seconds) if record.get("kind") == "train" and isinstance(seconds, int | float) else 0.0


def _spent(earlier: Iterable[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Returns the seconds, GPU-hours and kilowatt-hours up to the last of the records."""
    wall = gpu_hours = energy = 0.0
    for record in earlier:
        wall = max(wall, 3600 * record.get("cost/wall_hours", 0.0))
        gpu_hours = max(gpu_hours, record.get("cost/gpu_hours", 0.0))
        energy = max(energy, record.get("cost/energy_kwh", 0.0))
    return wall, gpu_hours, energy
