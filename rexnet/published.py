"""Published figures per variant: what the authors reached, and a known 90-epoch attempt. No torch."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Figures of one variant; accuracies on ImageNet-1k's 50 000 validation images at 224 px, in percent."""

    parameters: int
    macs: int
    acc1: float
    acc5: float
    earlier_acc1: float | None


def published_variants() -> list[str]:
    """Returns the variants of which there are published figures."""
    return list(_variants())


def published(variant: str) -> Published | None:
    """Returns a variant's published figures, or None where nobody has published any."""
    entry = _variants().get(variant)
    if entry is None:
        return None
    return Published(
        parameters=entry["parameters"],
        macs=entry["macs"],
        acc1=entry["official"]["acc1"],
        acc5=entry["official"]["acc5"],
        earlier_acc1=(entry.get("earlier") or {}).get("acc1"),
    )


def _variants() -> dict[str, Any]:
    return json.loads(files("rexnet").joinpath("variants.json").read_text())
