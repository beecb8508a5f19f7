"""The examples in docstrings hold."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def modules() -> list[str]:
    """Names of all modules that have examples."""
    found = [path for name in ("rexnet", "pipeline", "launch") for path in (REPOSITORY / name).rglob("*.py")]
    return sorted(
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in found
        if "\n    >>> " in path.read_text()
    )


@pytest.mark.parametrize("name", modules())
def test_examples_hold(name: str) -> None:
    result = doctest.testmod(import_module(name))
    assert result.attempted and not result.failed


def test_the_network_has_examples() -> None:
    assert {"rexnet.channels", "rexnet.model"} <= set(modules())
