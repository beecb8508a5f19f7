"""The figures of all variants: counts what can be counted, and writes the README's table.

`python -m tests.figures` brings rexnet/variants.json and README.md up to date; tests hold them to it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rexnet.channels import variant_shape
from rexnet.model import ReXNet

REPOSITORY = Path(__file__).resolve().parents[1]
VARIANTS = REPOSITORY / "rexnet" / "variants.json"
_MARKS = (
    "<!-- results: from rexnet/variants.json, by python -m tests.figures -->\n\n",
    "\n<!-- end of results -->",
)
_HEAD = (
    *("Model", "This repo Acc@1", "Acc@5", "Params", "MACs", "Weights"),
    *("Official Acc@1", "Acc@5", "Earlier 90-epoch attempt Acc@1"),
)


def count(variant: str) -> tuple[int, int]:
    """Returns the parameters, and the multiply-accumulates of one image of 224 x 224.

    MACs are those of convolutions, squeeze-excitation and classifier; norms and activations have none.
    """
    macs = 0

    def add(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.Linear)
        macs += output.numel() * module.weight[0].numel()

    with torch.device("meta"):  # shapes without numbers
        model = ReXNet(variant_shape(variant)).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(add)
        model(torch.empty(1, 3, 224, 224))
    return sum(parameter.numel() for parameter in model.parameters()), macs


def counted(variants: dict[str, Any]) -> dict[str, Any]:
    """Returns the variants with their counts."""
    result = {}
    for name, entry in variants.items():
        parameters, macs = count(name)
        result[name] = {"parameters": parameters, "macs": macs} | {
            key: entry[key] for key in ("official", "evaluated", "earlier")
        }
    return result


def as_text(variants: dict[str, Any]) -> str:
    """Returns the content of variants.json, one line for each figure and its source."""
    entries = []
    for name, entry in variants.items():
        lines = [f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items()]
        entries.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(entries) + "\n}\n"


def table(variants: dict[str, Any]) -> str:
    """Returns the README's table of results."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(name, entry) for name, entry in variants.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    official, earlier = entry["official"], entry["earlier"]
    unrun = "not yet run" if earlier else "no recipe"
    return (
        *(name.replace("rexnet", "ReXNet"), unrun, unrun),
        *(f"{entry['parameters'] / 1e6:.1f}M", f"{entry['macs'] / 1e9:.2f}G", unrun),
        *(f"{official['acc1']}", f"{official['acc5']}", f"{earlier['acc1']}" if earlier else "-"),
    )


def with_table(readme: str, variants: dict[str, Any]) -> str:
    """Returns the README with the table in its place."""
    start, end = _MARKS
    before, _, rest = readme.partition(start)
    _, _, after = rest.partition(end)
    assert rest and after, "README.md has lost the marks of its results"
    return before + start + table(variants) + end + after


def main() -> None:
    """Writes both files."""
    variants = counted(json.loads(VARIANTS.read_text()))
    VARIANTS.write_text(as_text(variants))
    readme = REPOSITORY / "README.md"
    readme.write_text(with_table(readme.read_text(), variants))


if __name__ == "__main__":
    main()
