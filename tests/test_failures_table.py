"""docs/failures.md: each row names a test that there is."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FAULTS = (
    *("disk full", "output folder gone", "data gone for 60 s", "W&B takes connections", "a process killed"),
    *("a process stopped for longer", "not finite", "damaged checkpoint", "two writers", "out of memory"),
)


def rows() -> list[list[str]]:
    lines = (REPOSITORY / "docs" / "failures.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return cells[2:]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:30])
def test_the_row_names_a_test(row: list[str]) -> None:
    assert len(row) == 7 and all(row)
    found = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", row[-1])
    assert found, row[-1]
    file, name = found.groups()
    tree = ast.parse((REPOSITORY / file).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_its_row() -> None:
    faults = [row[0] for row in rows()]
    assert [fault for fault in FAULTS if not any(fault in row for row in faults)] == []
