"""Our accuracy beside the published one, over several runs, from their W&B files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.reporting import wandb_file

COLUMNS = ("eval/acc1", "official/acc1", "gap/acc1", "eval/acc5", "official/acc5")


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a run stands by its last evaluation."""

    name: str
    attempts: int
    """Files with a record in them; each attempt at a run writes its own."""

    epoch: float | None
    """Epoch of the evaluation; None without one."""

    variant: str
    """The network; empty where the files do not say."""

    done: bool
    """Whether the last attempt came to the run's end."""

    values: dict[str, float]
    """Of `COLUMNS`, those that the evaluation logged, in percent."""


def standing(run: Path) -> Standing:
    """Reads the W&B files of the folder `run`.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run} is not a folder; name a run's folder, as runs/demo-0123abcd")
    last: dict[str, Any] = {}
    attempts, variant, done = 0, "", False
    for file in wandb_file.find(run):
        try:
            piece = wandb_file.read(file)
        except ValueError:  # killed before W&B had written anything
            continue
        rows = piece.history
        attempts += bool(rows)
        variant, done = str(piece.config.get("variant", variant)), piece.exit_code == 0
        last = next((row for row in reversed(rows) if "eval/acc1" in row), last)
    values = {name: float(last[name]) for name in COLUMNS if isinstance(last.get(name), int | float)}
    return Standing(
        name=run.resolve().name,
        attempts=attempts,
        epoch=last.get("epoch"),
        variant=variant,
        done=done,
        values=values,
    )


def table(standings: Iterable[Standing]) -> str:
    """The runs as a plain table, one a line; `-` stands for what a run has not."""
    rows = [["run", "attempts", "epoch", *COLUMNS]]
    for run in standings:
        figures = (f"{run.values[c]:.2f}" if c in run.values else "-" for c in COLUMNS)
        rows.append([run.name, str(run.attempts), "-" if run.epoch is None else f"{run.epoch:.1f}", *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join("  ".join(row) for row in aligned)
