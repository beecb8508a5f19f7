"""The figures of all variants: counts what can be counted, and writes the README's tables of results.

`python -m tests.figures` brings rexnet/variants.json and README.md up to date; tests hold them to it.
"""

import json
from pathlib import Path
from typing import Any

from launch.formats.counting import count
from tests.results import imagenet_table, published, small_table

REPOSITORY = Path(__file__).resolve().parents[1]
VARIANTS = REPOSITORY / "rexnet" / "variants.json"
_MARKS = {
    "results": "from rexnet/variants.json and results/, by python -m tests.figures",
    "smaller results": "from results/, by python -m tests.figures",
}
"""What the README says of the source of each table, in comments around it."""


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
