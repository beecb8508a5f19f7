"""The names of metrics, as docs/metrics.md has them: the one place that lists them."""

import re

from tests.launch.program import REPOSITORY

_TEXT = (REPOSITORY / "docs" / "metrics.md").read_text()


def documented() -> dict[str, list[str]]:
    """Returns the rows of the table of metrics by name: unit, meaning, when to worry."""
    rows = _rows("metrics")
    assert all(len(row) == 4 for row in rows)
    return {row[0].strip("`"): row[1:] for row in rows}


def summaries() -> set[str]:
    """Returns the names in the table of summaries."""
    return {name for row in _rows("summary") for name in re.findall(r"`([^`]+)`", row[0])}


def _rows(mark: str) -> list[list[str]]:
    between = re.search(rf"<!-- {mark}.*?-->(.*?)<!-- end of {mark} -->", _TEXT, re.DOTALL)
    assert between
    lines = [line for line in between[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
