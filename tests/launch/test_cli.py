"""The command line, recipes and the identity of a run."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from launch.arguments import UsageError, out_of
from launch.cli import Command, read_command, take_run
from launch.config import Run, from_plain, identity, identity_fields, to_plain
from launch.plan import make_plan
from launch.recipes import RECIPES
from rexnet.published import published
from tests.launch.program import REPOSITORY


def read(*arguments: str) -> Command:
    command = read_command(arguments)
    assert command is not None
    return command


def test_no_argument_is_the_demo() -> None:
    assert read().run == RECIPES["demo"].run
    assert read("--lr", "0.5").run.recipe == "demo"


def test_short_flags() -> None:
    flags = "--data /d --out /o --epochs 3 --batch 128 --micro-batch 32 --lr 0.4 --weight-decay 1e-4"
    run = read(
        "rexnet_2.0",
        *flags.split(),
        *("--image-size", "96", "--seed", "7", "--precision", "fp16", "--decode", "cpu", "--workers", "3"),
    ).run
    assert (run.data, run.out, run.epochs, run.batch, run.micro_batch) == (Path("/d"), Path("/o"), 3, 128, 32)
    assert (run.optim.lr, run.optim.weight_decay, run.augmentation.image_size, run.seed) == (0.4, 1e-4, 96, 7)
    assert (run.numerics.precision, run.feeding.decode, run.feeding.workers) == ("fp16", "cpu", 3)
    assert run.variant == "rexnet_2.0"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rexnet_13", "rexnet_1.3"),
        ("rexnet_1", "rexnet_1.0"),
        ("rexnet_2", "rexnet_2.0"),
        ("cifar", "cifar10"),
    ],
)
def test_the_nearest_recipe_is_suggested(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant!r}"):
        read_command([typed])


def test_the_home_folder_where_a_shell_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    command = read_command(["rexnet_1.0", "--out=~/runs/a", "--data", "~/my set"])
    assert command is not None
    assert (command.run.out, command.run.data) == (Path("/home/me/runs/a"), Path("/home/me/my set"))
    assert out_of(["--out=~/runs/a", "--lr", "x"]) == Path("/home/me/runs/a")


def test_a_flag_may_name_its_group_in_every_program() -> None:
    """The doctor, which Slurm's jobs begin with, and the benchmark take what training takes."""
    arguments = ["rexnet_1.0", "--optim.backend", "apex", "--augmentation.image-size=96", "--data", "--optim"]
    assert take_run(arguments).recipe == "rexnet_1.0"
    assert arguments == ["--backend", "apex", "--image-size=96", "--data", "--optim"]


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_command(["--list"]) is None
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RECIPES)


def test_from_a_run_json(tmp_path: Path) -> None:
    run = read("rexnet_1.3", "--lr", "0.7", "--data", "/d", "--out", "/o").run
    (tmp_path / "run.json").write_text(json.dumps({"run": to_plain(run)}))
    again = read("--from", str(tmp_path / "run.json"), "--seed", "3").run
    assert again == replace(run, out=None, seed=3)
    assert read("--from", str(tmp_path)).run == replace(run, out=None)
    for content in ("no json", "{}", '{"run": {"colour": 1}}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(UsageError, match="is not the run"):
            read_command(["--from", str(tmp_path / "bad.json")])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_whole(name: str) -> None:
    text, run = RECIPES[name][:2]
    assert text and run.recipe == name and published(run.variant) is not None
    assert from_plain(Run, json.loads(json.dumps(to_plain(run)))) == run
    worlds = (1,) if name.startswith(("demo", "cifar10")) else (1, 2, 4, 8)
    for ranks in worlds:
        make_plan(run, nodes=1, ranks=ranks)


def test_identity_is_the_run_and_not_how_it_is_carried_out() -> None:
    run = RECIPES["rexnet_1.0"].run
    key = identity(run, train="t", val="v")
    same = replace(
        run, data=Path("/d"), out=Path("/o"), feeding=replace(run.feeding, workers=9, decode="cpu")
    )
    same = replace(same, keeping=replace(run.keeping, log_every=7))
    assert identity(same, train="t", val="v") == key and len(key) == 8
    others = [replace(run, seed=1), replace(run, batch=512), replace(run, optim=replace(run.optim, lr=0.3))]
    keys = [identity(other, train="t", val="v") for other in others] + [identity(run, train="u", val="v")]
    assert len({key, *keys}) == 5
    assert "data" not in identity_fields(run) and "feeding" not in identity_fields(run)


def test_help_is_quick_and_needs_no_torch() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from launch.cli import read_command; "
        "read_command(['--help']); assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--micro-batch" in done.stdout and "Passes over the train split" in done.stdout
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    ("recipe", "flags"),
    [
        ("rexnet_1.0", ("--epochs", "90", "--warmup", "5")),
        ("rexnet_1.0-plain", ("--half-life", "0", "--warmup", "0")),
    ],
)
def test_a_default_that_is_spelt_out_is_the_same_run(recipe: str, flags: tuple[str, ...]) -> None:
    """A flag makes 90.0 of 90."""
    plain, spelt = (read_command([recipe, *words]) for words in ((), flags))
    assert plain is not None and spelt is not None
    assert identity(plain.run, train="t", val="v") == identity(spelt.run, train="t", val="v")
