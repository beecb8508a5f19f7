"""What a check has found. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from launch.engine.faults import gist

Level: TypeAlias = Literal["ok", "warning", "error"]

LEVELS: tuple[Level, ...] = ("ok", "warning", "error")
"""From good to bad. A warning stops nothing; with an error a run would not train, or not as asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result: what is, what was wanted, and what to type where that helps."""

    level: Level
    text: str
    remedy: str = ""


def looked(look: Callable[[], Finding]) -> Finding:
    """Returns what `look` finds. That a check itself fails is a warning: it says nothing of the machine."""
    try:
        return look()
    except Exception as error:
        return Finding("warning", f"could not be looked at ({gist(error)})")
