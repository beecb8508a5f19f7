"""Where a run stands: its last and its best evaluation, what it has cost, and the images that proved bad."""

from typing import Any

from launch.engine.ports import Record

_BESIDE = ("official/acc1", "official/acc5", "earlier/acc1", "gap/acc1", "gap/acc5")
_COSTS = {"cost/wall_hours": "hours", "cost/gpu_hours": "gpu_hours", "cost/goodput": "goodput"}
_COSTS |= {"cost/energy_kwh": "energy_kwh", "health/restarts": "restarts"}


class Summary:
    """The last and the best evaluation of a run, its costs and its bad images, over all its attempts.

    Attributes:
        values: last/acc1, last/acc5, best/acc1, best/acc5 and best_epoch, and where the records have them
            the published figures and the gaps to them, in percent; hours, gpu_hours, goodput, energy_kwh and
            restarts. bad_images lists files with their faults.

    Weights that are evaluated as `model` stand beside their average, and do not count.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, record: Record) -> None:
        self.values |= {name: record[metric] for metric, name in _COSTS.items() if metric in record}
        if record.get("event") == "bad image":
            known = self.values.get("bad_images", [])
            self.values["bad_images"] = [*known, f"{record['file']} {record['fault']}"]
        if record.get("kind") != "eval" or record.get("weights") == "model":
            return
        if not isinstance(acc1 := record.get("eval/acc1"), int | float):
            return
        acc5 = float(record.get("eval/acc5", float("nan")))
        self.values |= {"last/acc1": float(acc1), "last/acc5": acc5}
        if acc1 >= self.values.get("best/acc1", -1.0):
            self.values |= {"best/acc1": float(acc1), "best/acc5": acc5, "best_epoch": float(record["epoch"])}
        self.values |= {name: float(record[name]) for name in _BESIDE if name in record}
