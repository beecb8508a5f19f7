"""What the named runs say of themselves, and runs of the user's own."""

import json
from pathlib import Path

import pytest

from launch.arguments import UsageError
from launch.cli import read_command
from launch.config import Run
from launch.engine.config import Optim
from launch.naming import find_run
from launch.recipe import SHARES, expected_curve
from launch.recipes import RECIPES
from pipeline import synthetic
from tests.launch.program import run

IMAGENET = [name for name in RECIPES if name.startswith("rexnet")]
WIDTHS = ("1.0", "1.3", "1.5", "2.0", "2.2", "3.0")

OWN = """
from dataclasses import replace
from launch.recipes import RECIPES

SMALL = replace(RECIPES["demo"].run, variant="rexnet_0.2", epochs=0.5, batch=16, micro_batch=8)
SIZE = 64
"""


def test_every_width_has_three() -> None:
    wanted = {f"rexnet_{width}{kind}" for width in WIDTHS for kind in ("", "-400", "-plain")}
    assert wanted == set(IMAGENET)
    assert {"demo", "cifar10", "cifar10-plain"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    recipe = RECIPES[name]
    assert all((recipe.summary, recipe.source, recipe.hardware, recipe.hours, recipe.measured))
    assert recipe.run.recipe == name and f" launch/train.py {name}" in recipe.command
    assert recipe.batch.endswith(f"= {recipe.run.batch}")
    command = recipe.command.partition("launch/train.py ")[2].split()
    read = read_command(command)
    assert read is not None and read.run.optim == recipe.run.optim


@pytest.mark.parametrize("name", IMAGENET)
def test_what_is_expected_has_a_source(name: str) -> None:
    expected = RECIPES[name].expected
    assert expected is not None and RECIPES[name].measured == "not yet run"
    assert "not yet run" in RECIPES[name].summary and "not measured" in RECIPES[name].hours
    assert expected.low < expected.high and "https://" in expected.source
    assert "https://" in expected.curve_source and "https://" in RECIPES[name].source
    points = expected_curve(RECIPES[name])
    assert [epoch / RECIPES[name].run.epochs for epoch, _ in points] == pytest.approx(SHARES)
    accuracies = [acc1 for _, acc1 in points]
    assert accuracies == sorted(accuracies) and expected.low <= accuracies[-1] <= expected.high


def test_nothing_is_expected_where_nothing_was_published() -> None:
    assert expected_curve(RECIPES["demo"]) == []


def test_augmentation_grows_with_width() -> None:
    runs = [RECIPES[f"rexnet_{width}"].run for width in WIDTHS]
    for strength in (
        [each.augmentation.rand_ops * each.augmentation.rand_magnitude for each in runs],
        [each.augmentation.erasing for each in runs],
        [each.augmentation.mixup for each in runs],
        [each.drop_path for each in runs],
        [-each.augmentation.scale_min for each in runs],
    ):
        assert strength == sorted(strength) and strength[0] < strength[-1]


@pytest.mark.parametrize("width", WIDTHS)
def test_plain_is_the_known_attempts(width: str) -> None:
    plain = RECIPES[f"rexnet_{width}-plain"].run
    assert plain.optim == Optim(
        lr=0.1,
        schedule="step",
        nesterov=False,
        weight_decay=1e-4,
        decay_on="all",
        warmup=0,
        label_smoothing=0,
    )
    assert (plain.batch, plain.epochs, plain.ema.half_life) == (256, 90, 0)


def test_the_authors_are_the_authors() -> None:
    """Their README's command: --lr 0.5 for 4 x 128, --weight-decay 1e-5, --reprob 0.2, rand-m9-mstd0.5."""
    run = RECIPES["rexnet_1.0-400"].run
    assert (run.batch, run.optim.lr, run.optim.weight_decay, run.epochs) == (512, 0.5, 1e-5, 400)
    drawn = run.augmentation
    assert (drawn.rand_ops, drawn.rand_magnitude, drawn.rand_deviation, drawn.erasing) == (2, 9.0, 0.5, 0.2)
    assert (run.dropout, run.drop_path, run.optim.label_smoothing, drawn.scale_min) == (0.2, 0.0, 0.1, 0.08)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_an_own_recipe_is_found_by_its_file(own: Path) -> None:
    found = find_run(f"{own}:SMALL")
    assert isinstance(found, Run) and (found.recipe, found.variant) == ("mine.SMALL", "rexnet_0.2")
    changed = read_command([f"{own}:SMALL", "--lr", "0.3"])
    assert changed is not None and changed.run.optim.lr == 0.3


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("{0}:LARGE", "mine.py has no 'LARGE'; there are SMALL"),
        ("{0}", "mine.py wants the name of a Run behind it, as in FILE.py:NAME; there are SMALL"),
        ("{0}:SIZE", "SIZE in .*mine.py is of type int, but a recipe is a launch.config.Run, as SMALL there"),
        ("{1}/none.py:SMALL", "there is no file .*none.py; a recipe of your own is ./FILE.py:NAME"),
        ("{1}/broken.py:X", "broken.py cannot be read as Python: SyntaxError"),
        ("{1}/wrong.py:X", "wrong.py cannot be read as Python: ValueError: lr is -1"),
    ],
)
def test_a_mistake_in_an_own_recipe(own: Path, name: str, wanted: str) -> None:
    (own.parent / "broken.py").write_text("X = (\n")
    (own.parent / "wrong.py").write_text("from launch.engine.config import Optim\nX = Optim(lr=-1)\n")
    with pytest.raises(UsageError, match=wanted):
        find_run(name.format(own, own.parent))


def test_flags_may_be_written_with_their_group() -> None:
    read = read_command(["demo", "--optim.lr", "0.7", "--augmentation.flip=0"])
    assert read is not None and (read.run.optim.lr, read.run.augmentation.flip) == (0.7, 0.0)


@pytest.mark.slow
def test_an_own_recipe_trains_resumes_and_is_recorded(own: Path) -> None:
    """With a slice held out and another test size; the same command finds the finished run."""
    data = synthetic.make(own.parent / "set", classes=3, train=90, val=12)
    flags = ("--data", data, "--image-size", 40, "--hold-out", 0.2, "--test-size", 64, "--log-every", 1)
    done = run("train", "./mine.py:SMALL", *flags, cwd=own.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = own.parent.glob("runs/mine.SMALL-*")
    facts = json.loads((folder / "run.json").read_text())
    assert facts["recipe"] == "mine.SMALL" and facts["run"]["hold_out"] == 0.2 and facts["expected"] is None
    groups = facts["optimizer"]["groups"]
    assert facts["optimizer"]["class"] == "torch.optim.sgd.SGD" and facts["optimizer"]["fused"]
    assert [group["weight_decay"] for group in groups] == [2e-5, 0.0]
    assert all(group["tensors"] > 10 and group["parameters"] > 500 for group in groups)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = [line for line in lines if line["kind"] == "eval"]
    assert [next(name for name in line if name.endswith("/images")) for line in scores] == [
        *("held-out/images", "held-out/images", "eval-64/images", "eval/images", "eval/images"),
    ]
    assert all(line["final"] == 1 for line in scores) and scores[-1]["weights"] == "ema"
    assert scores[0]["held-out/images"] + facts["data"]["train_images"] == 90
    assert scores[-1]["eval/images"] == 12
    again = run("train", "./mine.py:SMALL", *flags, cwd=own.parent)
    assert again.returncode == 0 and "This run is finished" in again.stdout
    same = run("train", "--from", folder, "--data", data, "--dry-run", cwd=own.parent)
    assert same.returncode == 0 and '"recipe": "mine.SMALL"' in same.stdout
