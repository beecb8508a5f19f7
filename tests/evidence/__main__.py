"""Trains the ladder of CIFAR-10 recipes and writes docs/evidence.md; started again, it goes on.

python -m tests.evidence --data DIR [--cores 2] [--minutes 10] [--seeds 0 1 2] [--out runs/evidence]
python -m tests.evidence --data DIR --calibrate     # measure anew what an image costs
python -m tests.evidence --write                    # the page alone
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from launch.cifar10_recipes import LADDER
from launch.config import Run
from launch.folder import write_json
from tests.evidence.calibration import calibrate, epochs_of
from tests.evidence.page import page
from tests.evidence.rows import CHOICE_HOLD_OUT, CHOICE_SEED, CHOICES, CONTROL, HOLD_OUT, LR, ROWS, SEEDS
from tests.evidence.runs import Task, carry_out

REPOSITORY = Path(__file__).resolve().parents[2]
_IMAGES = 50000


class Record:
    """What has been found so far: two JSON files, and the page made of them."""

    def __init__(self, folder: Path):
        self.rates_file, self.results_file = folder / "rates.json", folder / "results.json"
        self.page_file = folder.with_suffix(".md")
        self.rates: dict[str, Any] = _read(self.rates_file)
        self.results: dict[str, Any] = _read(self.results_file)

    def write(self) -> None:
        """Writes results and page."""
        if self.results:
            write_json(self.results_file, self.results)
        self.page_file.write_text(page(self.rates, self.results))

    def set_budget(self, core_s: float) -> None:
        """Begins with a budget, or refuses another one than was begun with."""
        known = self.results.setdefault("core_s", core_s)
        if known != core_s:
            raise SystemExit(
                f"{self.results_file} is of {known / 60:g} minutes a run, not {core_s / 60:g}: take "
                f"--minutes {known / 60:g}, or remove it"
            )

    def epochs(self, run: Run, *, share: float = 1.0, hold_out: float) -> float:
        """Returns the epochs of a run that has `share` of the budget."""
        rates = self.rates["images_per_core_s"][run.recipe]
        images = round(_IMAGES * (1 - hold_out))
        return epochs_of(run, rates=rates, core_s=share * self.results["core_s"], images=images)

    def chosen(self, name: str) -> float:
        """Returns the value of a choice that was best on the images held out."""
        found = self.results["choices"][name]
        return float(max(found, key=lambda value: found[value]))


def main() -> None:
    """Reads the command line and does what it says."""
    asked = _arguments()
    record = Record(asked.record)
    if asked.calibrate:
        rates = calibrate(LADDER, data=asked.data, rounds=asked.rounds, say=_say)
        return write_json(record.rates_file, rates)
    if asked.write:
        return record.write()
    record.set_budget(60.0 * asked.minutes)
    if not record.rates:
        words = ["--calibrate", "--data", asked.data, "--record", asked.record, "--rounds", asked.rounds]
        subprocess.run([sys.executable, "-m", "tests.evidence", *map(str, words)], check=True, cwd=REPOSITORY)
        record = Record(asked.record)
        record.set_budget(60.0 * asked.minutes)
    for step in (_choose, _climb):
        step(record, asked)
    record.write()
    _say(f"written: {record.page_file}")


def _choose(record: Record, asked: argparse.Namespace) -> None:
    """Settles the choices, each with those before it taken."""
    taken: tuple[tuple[str, float], ...] = ()
    for choice in CHOICES:
        epochs = record.epochs(choice.recipe, share=0.5, hold_out=CHOICE_HOLD_OUT)
        tasks = [
            Task(
                recipe=choice.recipe.recipe,
                flags=(*taken, (f"--{choice.name}", value)),
                seed=CHOICE_SEED,
                epochs=epochs,
                hold_out=CHOICE_HOLD_OUT,
            )
            for value in choice.values
        ]
        found = record.results.setdefault("choices", {}).setdefault(choice.name, {})
        for task, result in carry_out(tasks, data=asked.data, out=asked.out, cores=asked.cores, say=_say):
            found[f"{task.flags[-1][1]:g}"] = result["held_out_acc1"]
            record.write()
        taken = (*taken, (f"--{choice.name}", record.chosen(choice.name)))


def _climb(record: Record, asked: argparse.Namespace) -> None:
    """Trains the rows, seed by seed, and the control at the end."""
    lr, crop = (f"--{LR.name}", record.chosen(LR.name)), record.chosen("scale-min")
    names, tasks = [], []
    for rows in (ROWS[: asked.rows], [CONTROL] if asked.rows is None else []):
        for seed in asked.seeds:
            for number, row in enumerate(rows):
                crops = (("--scale-min", crop),) if number >= 2 or row is CONTROL else ()
                epochs = record.epochs(row.recipe, hold_out=HOLD_OUT)
                record.results.setdefault("epochs", {})[row.name] = epochs
                names.append(row.name)
                tasks.append(
                    Task(
                        recipe=row.recipe.recipe,
                        flags=(lr, *crops),
                        seed=seed,
                        epochs=epochs,
                        hold_out=HOLD_OUT,
                    )
                )
    done = carry_out(tasks, data=asked.data, out=asked.out, cores=asked.cores, say=_say)
    for name, (task, result) in zip(names, done, strict=True):
        record.results.setdefault("runs", {}).setdefault(name, {})[str(task.seed)] = result
        record.write()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence", description=__doc__)
    parser.add_argument("--data", type=Path, help="CIFAR-10 as class folders, train/ and val/")
    parser.add_argument("--cores", type=int, default=2, help="runs side by side, each on a core of its own")
    parser.add_argument("--minutes", type=float, default=10.0, help="of one core, for each run's training")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="10 at most")
    parser.add_argument("--rows", type=int, help="only the first rows, without the control")
    parser.add_argument("--rounds", type=int, default=3, help="of the calibration")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), help="the runs' folders")
    parser.add_argument("--record", type=Path, default=REPOSITORY / "docs" / "evidence", help="the figures")
    parser.add_argument("--calibrate", action="store_true", help="measure what an image costs, and end")
    parser.add_argument("--write", action="store_true", help="write the page from the figures, and end")
    asked = parser.parse_args()
    if asked.data is None and not asked.write:
        parser.error("--data DIR is wanted")
    return asked


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
