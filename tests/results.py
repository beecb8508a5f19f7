"""The README's tables of results, made from rexnet/variants.json and the rows in results/."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.formats.markdown import table
from launch.publishing import flags
from launch.recipes import RECIPES

RESULTS = Path(__file__).resolve().parents[1] / "results"
NOT_RUN = "not yet run"

_IMAGENET = (
    *("Model", "This repo Acc@1", "Acc@5", "Params", "MACs", "Weights"),
    *("Official Acc@1", "Acc@5", "Earlier 90-epoch attempt Acc@1"),
)
_SMALL = ("Run", "Acc@1", "Acc@5", "Seeds", "Minutes", "Machine", "Versions", "Date")

_EXPECTED = ("demo", "cifar10", "cifar10-plain", "stock")
"""Rows of the second table that stand there without a result, too."""

_NAMES = {"stock": "stock trainer, `cifar10`'s budget"}

Row = Mapping[str, Any]


def published(folder: Path = RESULTS) -> list[Row]:
    """Returns the rows in `folder`."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def imagenet_table(variants: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Returns the table of every variant, with one line for each recipe that has been published."""
    lines = []
    for name, entry in variants.items():
        found = [row for row in rows if row["variant"] == name and row["data"] == "imagenet-1k"]
        lines += [_imagenet_line(name, entry, group) for group in _groups(found)] or [_unrun(name, entry)]
    return table(_IMAGENET, lines) + "\n"


def small_table(rows: Sequence[Row]) -> str:
    """Returns the table of what was run on other data; accuracies as mean and deviation over seeds."""
    groups = _groups([row for row in rows if row["data"] != "imagenet-1k"])
    names = list(dict.fromkeys([*_EXPECTED, *(group[0]["recipe"] for group in groups)]))
    lines = []
    for name in names:
        found = [_small_line(group) for group in groups if group[0]["recipe"] == name]
        lines += found or [[_NAMES.get(name, f"`{name}`"), NOT_RUN, NOT_RUN, *["-"] * 5]]
    return table(_SMALL, lines) + "\n"


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Returns rows together that differ by their seed alone: same machine, precision and versions."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        key = (
            row["recipe"],
            _beside(row),
            row["machine"],
            row.get("precision", ""),
            _versions(row["versions"]),
        )
        found.setdefault(key, []).append(row)
    return list(found.values())


def _beside(row: Row) -> str:
    """Returns the flags by which a row's run differs from its recipe of today, but for the seed."""
    if row["recipe"] not in RECIPES:
        return ""
    data = ["--data DIR"] if row["recipe"] == "demo" and "--data" in row["command"] else []
    return " ".join(data + flags({k: v for k, v in row["settings"].items() if k != "seed"}))


def _imagenet_line(name: str, entry: Mapping[str, Any], group: Sequence[Row]) -> list[str]:
    first, official, earlier = group[0], entry["official"], entry["earlier"]
    run = f"{first['recipe']} {_beside(first)}".strip()
    digest = f"sha256 `{first['sha256'][:16]}`"
    return [
        _model(name) + ("" if run == name else f", `{run}`"),
        *(_mean(group, "acc1"), _mean(group, "acc5")),
        *(f"{entry['parameters'] / 1e6:.1f}M", f"{entry['macs'] / 1e9:.2f}G"),
        f"[file]({first['link']}), {digest}" if first["link"] else digest,
        *(f"{official['acc1']}", f"{official['acc5']}", f"{earlier['acc1']}" if earlier else "-"),
    ]


def _unrun(name: str, entry: Mapping[str, Any]) -> list[str]:
    official, earlier = entry["official"], entry["earlier"]
    unrun = NOT_RUN if any(recipe.run.variant == name for recipe in RECIPES.values()) else "no recipe"
    return [
        *(_model(name), unrun, unrun),
        *(f"{entry['parameters'] / 1e6:.1f}M", f"{entry['macs'] / 1e9:.2f}G", unrun),
        *(f"{official['acc1']}", f"{official['acc5']}", f"{earlier['acc1']}" if earlier else "-"),
    ]


def _small_line(group: Sequence[Row]) -> list[str]:
    first = group[0]
    recipe = _NAMES.get(first["recipe"], f"`{first['recipe']} {_beside(first)}".strip() + "`")
    return [
        *(recipe, _mean(group, "acc1"), _mean(group, "acc5")),
        ", ".join(str(row["seed"]) for row in group),
        f"{statistics.mean(row['minutes'] for row in group):.1f}",
        *(first["machine"], _versions(first["versions"]), max(row["date"] for row in group)),
    ]


def _mean(group: Sequence[Row], metric: str) -> str:
    values = [row[metric] for row in group]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _versions(versions: Mapping[str, str]) -> str:
    names = {"torch": "torch", "nvidia-dali-cuda120": "DALI", "timm": "timm"}
    return ", ".join(f"{name} {versions[key]}" for key, name in names.items() if key in versions)


def _model(name: str) -> str:
    return name.replace("rexnet", "ReXNet")
