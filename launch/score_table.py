"""The results of several evaluations beside each other, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TITLES = (
    "network",
    "pixels",
    "crop",
    "Acc@1 %",
    "95 % interval",
    "Acc@5 %",
    "loss",
    "images",
    "published",
    "expected",
    "weights",
)
_LEFT = 0  # the column of words


def score_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table with a row for each content of a result.json, in the order given."""
    rows = [_TITLES, *(_row(result) for result in results)]
    for column, name in ((9, "expected"), (8, "published_acc1")):
        if all(result[name] is None for result in results):
            rows = [row[:column] + row[column + 1 :] for row in rows]
    last = len(rows[0]) - 1
    widths = [max(len(row[i]) for row in rows) for i in range(last)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i == _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[last]]))
    return "\n".join(lines)


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = result["acc1_interval"]
    loss, published = result["loss"], result["published_acc1"]
    return (
        result["variant"],
        str(result["image_size"]),
        f"{result['crop_ratio']:g}",
        f"{result['acc1']:.3f}",
        f"{low:.2f} to {high:.2f}",
        f"{result['acc5']:.3f}",
        "not finite" if loss is None else f"{loss:.4f}",
        str(result["images"]),
        "-" if published is None else f"{published:g}",
        "-" if result["expected"] is None else f"{result['expected']:g} ({result['difference']:+.3f})",
        result["weights"],
    )
