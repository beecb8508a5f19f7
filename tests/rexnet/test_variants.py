"""variants.json, which README, reports and dashboards quote."""

import json

import pytest

from rexnet.channels import LITE_WIDTHS, WIDTHS
from rexnet.published import published
from tests.figures import REPOSITORY, VARIANTS, as_text, count, counted, with_tables

CONTENT = json.loads(VARIANTS.read_text())


def test_holds_the_published_variants() -> None:
    widths = [0.9, *WIDTHS]
    assert list(CONTENT) == [*(f"rexnet_{w}" for w in widths), *(f"rexnet_lite_{w}" for w in LITE_WIDTHS)]
    for entry in CONTENT.values():
        official, evaluated, earlier = entry["official"], entry["evaluated"], entry["earlier"]
        assert 75 < official["acc1"] < official["acc5"] < 100
        assert evaluated is None or abs(evaluated["acc1"] - official["acc1"]) < 0.06
        assert earlier is None or 70 < earlier["acc1"] < official["acc1"]
        assert all(e["source"].startswith("https://") for e in (official, evaluated, earlier) if e)


def test_files_hold_what_is_counted() -> None:
    """Else: python -m tests.figures"""
    variants = counted(CONTENT)
    assert VARIANTS.read_text() == as_text(variants)
    readme = (REPOSITORY / "README.md").read_text()
    assert readme == with_tables(readme, variants)


@pytest.mark.parametrize(
    ("variant", "parameters", "macs"),
    [
        ("rexnet_0.9", 4_091_257, 347.7e6),
        ("rexnet_1.0", 4_796_873, 398.4e6),
        ("rexnet_1.3", 7_557_091, 662.2e6),
        ("rexnet_1.5", 9_728_593, 875.8e6),
        ("rexnet_2.0", 16_366_620, 1528.9e6),
        ("rexnet_2.2", 19_485_308, 1842.5e6),
        ("rexnet_3.0", 34_708_792, 3396.0e6),
        ("rexnet_lite_1.0", 4_740_056, 0.41e9),
        ("rexnet_lite_1.3", 6.8e6, 0.65e9),
        ("rexnet_lite_1.5", 8.3e6, 0.84e9),
        ("rexnet_lite_2.0", 12_966_200, 1.5e9),
    ],
)
def test_counts_are_those_of_the_authors(variant: str, parameters: float, macs: float) -> None:
    """ReXNet's are counted on the authors' network by others; lite's MACs and two sizes are published."""
    ours = count(variant)
    lite = "lite" in variant
    assert ours[0] == (parameters if isinstance(parameters, int) else pytest.approx(parameters, rel=0.01))
    assert ours[1] == pytest.approx(macs, rel=0.03 if lite else 2e-4)


def test_figures_of_a_variant() -> None:
    figures = published("rexnet_1.0")
    assert figures is not None
    assert (figures.acc1, figures.acc5, figures.earlier_acc1) == (77.9, 93.9, 72.4)
    lite = published("rexnet_lite_1.0")
    assert lite is not None and lite.earlier_acc1 is None
    assert published("rexnet_0.7") is None
