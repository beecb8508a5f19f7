"""The runs: each a folder and a command that resumes, on a core of its own, some side by side."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from launch.folder import RunFolder, write_json
from tests.launch.program import command, environment, records


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One run of a recipe; pure, so that a folder that holds its result is its result."""

    recipe: str
    flags: tuple[tuple[str, float], ...]
    seed: int
    epochs: float
    hold_out: float

    @property
    def name(self) -> str:
        """Of its folder."""
        flags = "".join(f"-{flag.strip('-')}-{value:g}" for flag, value in self.flags)
        return f"{self.recipe}{flags}-epochs-{self.epochs:g}-seed-{self.seed}"


def carry_out(
    tasks: Sequence[Task], *, data: Path, out: Path, cores: int, say: Callable[[str], None]
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yields the results, in order, and trains what is not there yet, `cores` runs at a time.

    Raises:
        RuntimeError: a run has failed; those beside it have ended, and the same call goes on.
    """
    free: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0))[-cores:]:
        free.put(core)

    def one(task: Task) -> dict[str, Any]:
        folder = out / task.name
        if RunFolder(folder).result() is None:
            core = free.get()
            try:
                say(f"{task.name} begins on core {core}")
                _train(task, folder, data=data, core=core)
            finally:
                free.put(core)
        result = _result(folder)
        say(f"{task.name}: {json.dumps(result)}")
        return result

    with ThreadPoolExecutor(cores) as pool:
        yield from zip(tasks, pool.map(one, tasks), strict=True)


def _train(task: Task, folder: Path, *, data: Path, core: int) -> None:
    flags = [word for flag, value in task.flags for word in (flag, f"{value:g}")]
    words = command(
        *("train", task.recipe, "--data", data, "--out", folder, "--epochs", f"{task.epochs:g}"),
        *("--seed", task.seed, "--hold-out", f"{task.hold_out:g}", "--workers", 1, "--decode", "cpu"),
        *("--window", "roi", "--layout", "channels-last", *flags),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with folder.with_name(f"{folder.name}.log").open("a") as log:
        started = subprocess.Popen(
            ["taskset", "-c", str(core), *words], stdout=log, stderr=log, env=environment()
        )
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    cost = _cost(folder)
    cost["core_s"] = round(cost["core_s"] + used.ru_utime + used.ru_stime, 1)
    cost["clock_s"] = round(cost["clock_s"] + time.monotonic() - start, 1)
    if folder.exists():
        write_json(folder / "cost.json", cost)
    if RunFolder(folder).result() is None:
        raise RuntimeError(f"{task.name} ended with {started.returncode}: see {folder}.log")


def _cost(folder: Path) -> dict[str, float]:
    file = folder / "cost.json"
    return json.loads(file.read_text()) if file.exists() else {"core_s": 0.0, "clock_s": 0.0}


def _result(folder: Path) -> dict[str, Any]:
    """Returns Acc@1 in percent of the last weights, or their average, on both splits, and what it took."""
    facts = RunFolder(folder).facts()
    assert facts is not None
    last = [r for r in records(folder, "eval") if r.get("final") and r["weights"] == "ema"]
    found = {name: value for record in last for name, value in record.items() if name.endswith("/acc1")}
    return {
        "acc1": round(found["eval/acc1"], 2),
        "held_out_acc1": round(found["held-out/acc1"], 2),
        "steps": facts["plan"]["steps"],
        "identity": facts["identity"],
        **_cost(folder),
    }
