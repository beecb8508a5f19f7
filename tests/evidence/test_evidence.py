"""The evidence: its statistics, its page, and that what is recorded is what the recipes say."""

import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from launch.cifar10_recipes import CIFAR10, COSINE, CROP, LADDER, PLAIN
from launch.config import identity_fields
from launch.engine.identity import differences, flat
from launch.recipes import RECIPES
from tests.evidence.__main__ import REPOSITORY, Record
from tests.evidence.calibration import epochs_of
from tests.evidence.page import page
from tests.evidence.paired import Difference, difference, spread
from tests.evidence.rows import CHOICES, ROWS

RECORD = Record(REPOSITORY / "docs" / "evidence")


def test_an_interval_is_students() -> None:
    """Of -1, 0, 1: standard deviation 1, so 4.303 / sqrt(3)."""
    found = difference({0: 1.0, 1: 2.0, 2: 3.0}, {0: 2.0, 1: 2.0, 2: 2.0})
    assert found == Difference(mean=0.0, half=pytest.approx(4.303 / math.sqrt(3)), seeds=3)
    assert not found.shown and str(found).endswith("no effect shown")


def test_only_seeds_of_both_are_paired() -> None:
    assert difference({0: 1.0}, {0: 0.0, 1: 0.0}) is None
    found = difference({0: 5.0, 1: 6.0, 7: 99.0}, {0: 1.0, 1: 2.0, 3: 0.0})
    assert found is not None and (found.mean, found.half, found.seeds) == (4.0, 0.0, 2)
    assert found.shown and spread({0: 3.0, 1: 5.5}) == 2.5


def test_the_same_time_makes_the_epochs() -> None:
    rates = {"32": 300.0, "40": 200.0, "48": 150.0}
    assert epochs_of(PLAIN, rates=rates, core_s=1200, images=50000) == 3.6
    growing = epochs_of(CIFAR10, rates=rates, core_s=1200, images=50000)
    cost = 0.3 / 300 + 0.3 / 200 + 0.4 / 150
    assert growing == pytest.approx(1200 / cost / 50000, abs=0.01)


@pytest.mark.parametrize(
    ("above", "below", "changes"),
    [
        (PLAIN, COSINE, {"schedule", "nesterov", "warmup", "label_smoothing", "decay_on"}),
        (COSINE, CROP, {"scale_min"}),
        (CROP, CIFAR10, {"half_life", "start_size", "size_step", "full_size_from"}),
    ],
    ids=["cosine", "crop", "growing"],
)
def test_a_row_changes_what_it_says(above: Any, below: Any, changes: set[str]) -> None:
    ours, theirs = flat(identity_fields(below)), flat(identity_fields(above))
    changed = {name.rpartition(".")[2] for name in ours if ours[name] != theirs[name]}
    assert changed - {"recipe", "epochs"} <= changes, differences(theirs, ours)
    assert is_dataclass(above) and len(fields(above)) == len(fields(below))


def results(shift: float) -> dict[str, Any]:
    runs = {
        row.name: {str(s): {"acc1": 60.0 + shift * k + 0.1 * s} for s in range(3)}
        for k, row in enumerate(ROWS)
    }
    choices = {c.name: {f"{v:g}": 10 * v for v in c.values} for c in CHOICES}
    return {"core_s": 1200.0, "choices": choices, "runs": runs, "epochs": {}}


RATES = {
    "rounds": 3,
    "machine": "a processor",
    "versions": {"torch": "2", "nvidia-dali-cuda120": "2"},
}


@pytest.mark.parametrize(("shift", "verdict"), [(2.0, "It holds"), (0.9, "It does not hold")])
def test_the_page_says_whether_it_holds(shift: float, verdict: str) -> None:
    text = page(RATES, results(shift))
    assert verdict in text and "| `--lr` | cifar10-plain | 0.05: 0.50, 0.1: 1.00, 0.2: 2.00 | 0.2 |" in text
    assert f"{shift:+.2f} [{shift:+.2f}, {shift:+.2f}]" in text
    assert "The control: not yet run." in text


def test_no_effect_is_said_to_be_none() -> None:
    assert "+0.00 [+0.00, +0.00], no effect shown" in page(RATES, results(0.0))


def test_the_page_is_made_of_what_is_recorded() -> None:
    assert RECORD.page_file.read_text() == page(RECORD.rates, RECORD.results)


def test_the_recipes_are_those_of_the_record() -> None:
    """The choices, and the epochs that take the same time."""
    if not RECORD.results:
        pytest.skip("the evidence is not yet run: python -m tests.evidence --data DIR")
    recorded = RECORD.results.get("choices", {})
    for choice in CHOICES:
        if len(recorded.get(choice.name, {})) == len(choice.values):
            taken = RECORD.chosen(choice.name)
            for run in LADDER:
                value = run.optim.lr if choice.name == "lr" else run.augmentation.scale_min
                assert value == taken or (choice.name == "scale-min" and run in (PLAIN, COSINE)), run.recipe
    for name, epochs in RECORD.results.get("epochs", {}).items():
        for run in LADDER:
            assert run.recipe != name or run.epochs == pytest.approx(epochs, abs=0.06), json.dumps(name)


def test_the_recipes_have_the_means_of_the_record() -> None:
    runs = RECORD.results["runs"]
    for run in LADDER:
        mean = sum(seed["acc1"] for seed in runs[run.recipe].values()) / len(runs[run.recipe])
        assert RECIPES[run.recipe].measured.startswith(f"{mean:.1f} %, three seeds"), run.recipe
