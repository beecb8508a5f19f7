"""From a recipe's name to its run: one of ours, or `./my_recipe.py:NAME` of the user's own. No torch."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from launch.arguments import UsageError
from launch.config import Run
from launch.recipes import RECIPES


def find_run(name: str) -> Run:
    """Returns the run that `name` stands for.

    One from a file is called FILE.NAME from then on, which no recipe of ours is.

    Raises:
        UsageError: there is none; the message names what there is.
    """
    file, colon, variable = name.rpartition(":")
    if name.endswith(".py") or file.endswith(".py"):
        path, wanted = (Path(file), variable) if colon else (Path(name), "")
        return replace(_own_run(path.expanduser(), wanted), recipe=f"{path.stem}.{wanted}")
    if name not in RECIPES:
        begun = sorted((known for known in RECIPES if known.startswith(name)), key=len)
        near = begun or difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"there is no recipe {name!r}; {hint}There are {', '.join(RECIPES)} (--list tells more), and "
            "your own are ./FILE.py:NAME"
        )
    return RECIPES[name].run


def _own_run(path: Path, wanted: str) -> Run:
    module = _load(path)
    there = [key for key, value in vars(module).items() if isinstance(value, Run)]
    if wanted not in vars(module):
        told = f"there are {', '.join(there)}" if there else "there is no Run in it"
        what = f"has no {wanted!r}" if wanted else "wants the name of a Run behind it, as in FILE.py:NAME"
        raise UsageError(f"{path} {what}; {told}")
    run = vars(module)[wanted]
    if not isinstance(run, Run):
        raise UsageError(
            f"{wanted} in {path} is of type {type(run).__name__}, but a recipe is a launch.config.Run"
            f"{', as ' + ' and '.join(there) + ' there' if there else ''}"
        )
    return run


def _load(path: Path) -> ModuleType:
    """Runs the user's file, under a name that hides no other module."""
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}; a recipe of your own is ./FILE.py:NAME, from {Path.cwd()}"
        )
    spec = importlib.util.spec_from_file_location(f"own_recipe_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses in it look for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be read as Python: {type(error).__name__}: {error}") from error
    return module
