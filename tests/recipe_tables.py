"""The tables of docs/recipes.md: what recipes are, what to expect of them, and the memory that they take.

`python -m tests.recipe_tables` brings the page up to date; a test holds it to that.
"""

from pathlib import Path

from launch.footprint import CUDA_GIB, DALI_GIB, V100_GIB, footprint
from launch.formats.markdown import table
from launch.recipe import SHARES, Recipe
from launch.recipes import RECIPES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"

_MARKS = (
    "<!-- tables: from launch/recipes.py, by python -m tests.recipe_tables -->\n",
    "<!-- end of tables -->",
)
_CLASSES = 1000

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Head and rows."""


def imagenet() -> list[Recipe]:
    """Returns the recipes of which something is expected."""
    return [recipe for recipe in RECIPES.values() if recipe.expected is not None]


def page() -> str:
    """Returns docs/recipes.md with the tables in their place."""
    before, rest = PAGE.read_text().split(_MARKS[0])
    _, after = rest.split(_MARKS[1])
    parts = ["## What they are", table(*_settings()), "## What to expect, on ImageNet", _EXPECTED]
    parts += [table(*_expectations()), "\n".join(_sources()), "## Memory", _MEMORY, table(*_memory())]
    return before + _MARKS[0] + "\n" + "\n\n".join(parts) + "\n\n" + _MARKS[1] + after


def total_gib(recipe: Recipe) -> float:
    """Returns the estimate of a process's memory in fp16, DALI's pools included."""
    assert recipe.run.micro_batch
    found = footprint(recipe.run, micro_batch=recipe.run.micro_batch, classes=_CLASSES)
    return found.total(half=True)


def _settings() -> Table:
    head = ("Recipe", "Epochs", "Batch", "Learning rate", "Hardware", "Hours", "Result")
    rows: list[tuple[str, ...]] = []
    for name, recipe in RECIPES.items():
        run = recipe.run
        rate = f"{run.optim.lr:g}, {run.optim.schedule}"
        rows.append(
            (
                f"`{name}`",
                f"{run.epochs:g}",
                recipe.batch,
                rate,
                recipe.hardware,
                recipe.hours,
                recipe.measured,
            )
        )
    return head, rows


_EXPECTED = (
    "Acc@1 in percent at 224 pixels, argued from published results; the curve is what the report draws "
    "beside a run's."
)


def _expectations() -> Table:
    shares = tuple(f"At {share:.0%}".replace("%", " %") for share in SHARES)
    head = ("Recipe", "Expected", *shares, "Argued from")
    rows: list[tuple[str, ...]] = []
    for recipe in imagenet():
        assert recipe.expected is not None
        points = tuple(f"{acc1:.1f}" for acc1 in recipe.expected.curve)
        span = f"{recipe.expected.low:g} to {recipe.expected.high:g}"
        rows.append((f"`{recipe.run.recipe}`", span, *points, recipe.expected.source))
    return head, rows


def _sources() -> list[str]:
    settings = dict.fromkeys(recipe.source for recipe in imagenet())
    curves = dict.fromkeys(recipe.expected.curve_source for recipe in imagenet() if recipe.expected)
    return [*(f"- Settings: {text}." for text in settings), *(f"- Curve: {text}." for text in curves)]


_MEMORY = (
    f"By estimate, not measured: GiB of one process in fp16 at 224 pixels, with {DALI_GIB:g} set aside for "
    f"DALI's pools and {CUDA_GIB:g} for CUDA. A V100 of 16 GB has about {V100_GIB:g}. Where it does not fit, "
    "the run ends and names the next smaller `--micro-batch`, which is another run, never chosen by itself."
)


def _memory() -> Table:
    head = ("Recipe", "Micro-batch", "State", "Kept for the backward pass", "In all")
    rows: list[tuple[str, ...]] = []
    for recipe in imagenet():
        micro_batch = recipe.run.micro_batch
        assert micro_batch
        found = footprint(recipe.run, micro_batch=micro_batch, classes=_CLASSES)
        figures = (f"{found.state:.2f}", f"{found.kept / 2:.1f}", f"{found.total(half=True):.1f}")
        rows.append((f"`{recipe.run.recipe}`", str(micro_batch), *figures))
    return head, rows


if __name__ == "__main__":
    PAGE.write_text(page())
