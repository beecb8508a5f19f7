"""What two runs must have in common to the last bit."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.launch.program import records

CLOCKS = ("time", "health/restarts", "health/failed_saves")
"""Fields of metrics.jsonl that tell of this machine and this attempt, as all of MEASURED do."""

MEASURED = ("speed/", "cost/")
"""Groups of such fields."""


def checkpoint(folder: Path) -> list[Any]:
    """Every tensor of last.pt as bytes, every other value as it is."""
    leaves = torch.utils._pytree.tree_leaves(torch.load(folder / "last.pt", weights_only=True)["state"])
    return [v.numpy().tobytes() if isinstance(v, torch.Tensor) else v for v in leaves]


def weights(folder: Path) -> dict[str, bytes]:
    """The result's tensors as bytes; safetensors orders its metadata at random."""
    return {name: t.numpy().tobytes() for name, t in load_file(folder / "model.safetensors").items()}


def measured(folder: Path) -> list[dict[str, Any]]:
    """All that was measured, without clocks."""
    lines = [r for r in records(folder) if r["kind"] != "event"]
    return [
        {k: v for k, v in line.items() if k not in CLOCKS and not k.startswith(MEASURED)} for line in lines
    ]


def differences(ours: Path, theirs: Path) -> list[str]:
    """Names what differs between the folders of two finished runs."""
    parts = {"last.pt": checkpoint, "model.safetensors": weights, "metrics.jsonl": measured}
    return [name for name, part in parts.items() if part(ours) != part(theirs)]
