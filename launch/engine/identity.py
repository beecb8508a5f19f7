"""What makes a run this run, compared field by field. No torch."""

from collections.abc import Mapping
from typing import Any


def flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested fields as one level of dotted names.

    >>> flat({"seed": 0, "optim": {"lr": 1.0}})
    {'seed': 0, 'optim.lr': 1.0}
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Returns the fields that differ, in words; empty where none does.

    >>> differences({"seed": 0}, {"seed": 1})
    'seed 0 -> 1'
    """
    ours, theirs = flat(new), flat(old)
    names = [*ours, *(name for name in theirs if name not in ours)]
    return ", ".join(
        f"{name} {theirs.get(name)!r} -> {ours.get(name)!r}"
        for name in names
        if theirs.get(name) != ours.get(name)
    )
