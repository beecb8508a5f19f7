"""Every documented command is executed by a test, or read by the real program, or it is said why neither."""

import importlib
import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from launch.config import to_plain
from launch.recipes import RECIPES
from tests.documented import PAGES, REPOSITORY, WAYS, commands, way

DOCUMENTED = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
PARSED = [command for command in DOCUMENTED if (found := way(command)) and found.how == "parsed"]
READERS = ("read_command", "read_job_request", "read_request", "read_arguments")


class Read(Exception):
    """The arguments have been understood."""


@pytest.mark.parametrize("command", DOCUMENTED)
def test_it_is_known_how_each_works(command: str) -> None:
    found = way(command)
    assert found is not None, "say in tests/documented.py how this is known to work"
    if found.how == "executed":
        assert (REPOSITORY / found.by).exists()


@pytest.mark.parametrize("pattern", [way.pattern for way in WAYS])
def test_no_way_is_left_over(pattern: str) -> None:
    assert any((found := way(command)) and found.pattern == pattern for command in DOCUMENTED)


@pytest.mark.parametrize("command", PARSED)
def test_the_real_program_reads_the_arguments(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, arguments = taken_apart(command, tmp_path)
    module = importlib.import_module(f"launch.{program}")
    readers = [name for name in READERS if hasattr(module, name)]
    assert readers, f"launch/{program}.py reads its arguments in a way of its own"
    understood = []
    for name in readers:
        monkeypatch.setattr(module, name, noting(getattr(module, name), understood))
    monkeypatch.chdir(tmp_path)
    with suppress(Read, SystemExit):
        module.main(arguments)
    only_prints = {"--help", "--list"} & set(arguments)
    assert understood or only_prints


def noting(reader: Callable[..., Any], understood: list[Any]) -> Callable[..., Any]:
    def read(*arguments: Any, **options: Any) -> Any:
        found = reader(*arguments, **options)
        if found is not None:
            understood.append(found)
            raise Read
        return None

    return read


def taken_apart(command: str, folder: Path) -> tuple[str, list[str]]:
    """The program's name and its arguments, with something real in the place of what stands for it."""
    words = shlex.split(command)
    at = next(i for i, word in enumerate(words) if word.startswith(("launch/", "slurm/")))
    program = Path(words[at]).stem
    arguments = words[at + 1 :]
    if words[at].startswith("slurm/"):
        recipe = "rexnet_2.0" if program == "RECIPE" else program
        assert (REPOSITORY / "slurm" / f"{recipe}.sh").exists()
        program, arguments = "train", [recipe, *arguments]
    (folder / "FILE.py").write_text("from launch.recipes import DEMO as NAME, DEMO as CUTMIX\n")
    (folder / "my_recipe.py").write_text("from launch.recipes import DEMO as CUTMIX\n")
    run = folder / "runs" / "X"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"run": to_plain(RECIPES["demo"].run)}))
    for name in ("FILE", "A", "B", "model.safetensors"):
        (folder / name).write_text("")
    places = {"RECIPE": "rexnet_2.0", "VARIANT": "rexnet_1.0", "DIR": str(folder), "RUN": str(run)}
    return program, [places.get(word, word) for word in arguments]
