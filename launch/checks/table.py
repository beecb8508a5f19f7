"""The one table of what all machines of a job have found. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from launch.checks.finding import LEVELS, Finding, Level
from launch.checks.machines import Machine
from pipeline.walk import enumeration

ORDER = (
    "machine",
    "batch",
    "GPU",
    "driver",
    "decoding",
    "all-reduce",
    "data set",
    "reading",
    "run folder",
    "cache",
    "apex",
    "W&B",
    "binding",
)
"""The checks."""

_INDENT = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A finding, and the machines that it is of, where others found something else."""

    check: str
    finding: Finding
    hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"on {enumeration(self.hosts)}: " if self.hosts else ""
        lines = [f"{self.check:<11}{self.finding.level:<9}{where}{self.finding.text}"]
        if self.finding.remedy:
            lines.append(f"{'':<{_INDENT}}type: {self.finding.remedy}")
        return "\n".join(lines)


def rows_of(check: str, found: Iterable[tuple[str, Finding]]) -> list[Row]:
    """Returns the rows of one check from (machine, finding) pairs, the worst first.

    What is not well is said once, with the machines that it is of; all that are well share the first one's
    words, since they may differ in figures.
    """
    pairs = list(found)
    hosts = list(dict.fromkeys(host for host, _ in pairs))
    faults: dict[Finding, list[str]] = {}
    for host, finding in pairs:
        if finding.level != "ok" and host not in faults.setdefault(finding, []):
            faults[finding].append(host)
    rows = [Row(check, fault, () if where == hosts else tuple(where)) for fault, where in faults.items()]
    well = [host for host in hosts if not any(host in where for where in faults.values())]
    if well:
        first = next(finding for host, finding in pairs if host == well[0])
        rows.append(Row(check, first, () if well == hosts else tuple(well)))
    return sorted(rows, key=lambda row: -LEVELS.index(row.finding.level))


def worst(rows: Sequence[Row]) -> Level:
    """Returns the highest level of all rows."""
    return LEVELS[max((LEVELS.index(row.finding.level) for row in rows), default=0)]


def verdict(rows: Sequence[Row]) -> str:
    """Returns what all rows come to."""
    count = {level: sum(row.finding.level == level for row in rows) for level in LEVELS}
    told = [
        f"{count[level]} {level}{'s' * (count[level] > 1)}" for level in ("error", "warning") if count[level]
    ]
    end = "; with an error a run would not train" if count["error"] else ""
    return (", ".join(told) or "all is well") + end


def drawn(rows: Sequence[Row], about: Mapping[str, Machine], *, seconds: float, as_json: bool) -> str:
    """Returns the table, or as JSON what it holds and what the machines are."""
    if as_json:
        content = {
            "verdict": worst(rows),
            "seconds": round(seconds, 1),
            "rows": [asdict(row.finding) | {"check": row.check, "hosts": row.hosts} for row in rows],
            "machines": {host: asdict(machine) for host, machine in about.items()},
        }
        return json.dumps(content, indent=1)
    lines = [f"{'check':<11}{'result':<9}what was found", *map(str, rows)]
    text = "\n".join([*lines, f"{verdict(rows)}; looked for {seconds:.1f} s"])
    return os.fsencode(text).decode(errors="backslashreplace")  # names of files need not be UTF-8
