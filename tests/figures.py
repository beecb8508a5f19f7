"""The figures of all variants: counts what can be counted, and writes the README's tables of results.

`python -m tests.figures` brings rexnet/variants.json and README.md up to date; tests hold them to it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rexnet.channels import variant_shape
from rexnet.model import ReXNet
from tests.results import imagenet_table, published, small_table

REPOSITORY = Path(__file__).resolve().parents[1]
VARIANTS = REPOSITORY / "rexnet" / "variants.json"
_MARKS = {
    "results": "from rexnet/variants.json and results/, by python -m tests.figures",
    "smaller results": "from results/, by python -m tests.figures",
}
"""What the README says of the source of each table, in comments around it."""


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


def with_tables(readme: str, variants: dict[str, Any]) -> str:
    """Returns the README with the tables in their places."""
    rows = published()
    tables = {"results": imagenet_table(variants, rows), "smaller results": small_table(rows)}
    for name, table in tables.items():
        start, end = f"<!-- {name}: {_MARKS[name]} -->\n\n", f"\n<!-- end of {name} -->"
        before, _, rest = readme.partition(start)
        _, _, after = rest.partition(end)
        assert rest and after, f"README.md has lost the marks of its {name}"
        readme = before + start + table + end + after
    return readme


def main() -> None:
    """Writes both files."""
    variants = counted(json.loads(VARIANTS.read_text()))
    VARIANTS.write_text(as_text(variants))
    readme = REPOSITORY / "README.md"
    readme.write_text(with_tables(readme.read_text(), variants))


if __name__ == "__main__":
    main()
