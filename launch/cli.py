"""From a command line to a run. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from launch.arguments import UsageError, first_rank, read_arguments, value_of
from launch.config import Run, from_plain
from launch.naming import find_run
from launch.recipes import RECIPES

_GROUP = re.compile(r"^--(?:optim|ema|augmentation|evaluation|numerics|feeding|keeping)\.")
"""A flag may be written with its group, as run.json has it: --optim.backend is --backend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A run, and what to do with it."""

    run: Run

    dry_run: bool = False
    """Print the resolved run, its steps, memory and hours, and end."""

    smoke: bool = False
    """Real data, 20 steps, a short evaluation, checkpoint, reload, 5 steps."""

    profile: int = 0
    """Train this many steps under torch's profiler, write a trace and a table, and end."""

    fresh: bool = False
    """Move an earlier run of the same folder aside and start anew."""


def read_command(argv: Sequence[str]) -> Command | None:
    """Returns what `argv` asks for; None after `--list` or `--help`, which only print.

    The first argument names a recipe, also one of the user's own, FILE.py:NAME; without, it is `demo`.
    `--from FILE` takes the run of a run.json instead. Of many ranks, only rank 0 prints.

    Raises:
        UsageError: an argument is misspelt or has no meaning.
    """
    arguments = list(argv)
    if "--list" in arguments:
        if first_rank():
            print("\n".join(f"{name:<16} {recipe.summary}" for name, recipe in RECIPES.items()))
        return None
    default = take_run(arguments)
    if value_of("--init-weights", arguments) is not None:
        default = replace(default, init_sha256=None)  # of the weights that were named before
    program = f"launch/train.py {default.recipe}"
    return read_arguments(Command, arguments, program=program, default=Command(run=default))


def take_run(arguments: list[str]) -> Run:
    """Takes the recipe's name or `--from FILE` off the arguments and returns the run it stands for.

    What remains has every flag without its group.

    Raises:
        UsageError: there is no such recipe or file.
    """
    arguments[:] = [_GROUP.sub("--", argument) for argument in arguments]
    if "--from" in arguments:
        at = arguments.index("--from")
        if at + 1 == len(arguments):
            raise UsageError("--from wants the run.json of an earlier run: --from runs/NAME/run.json")
        path = Path(arguments[at + 1])
        del arguments[at : at + 2]
        return _run_of_file(path)
    if not arguments or arguments[0].startswith("-"):
        return RECIPES["demo"].run
    return find_run(arguments.pop(0))


def _run_of_file(path: Path) -> Run:
    if path.is_dir():
        path = path / "run.json"
    if not path.is_file():
        raise UsageError(f"--from {path}: there is no such file; it wants the run.json of an earlier run")
    try:
        run = from_plain(Run, json.loads(path.read_text())["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--from {path}: this is not the run.json of a run ({error})") from None
    return replace(run, out=None)
