"""The file of weights that a name stands for: a file, a run's folder, or a name of the Hugging Face Hub.

No torch, but for a look into a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from launch.hub import PREFIX, hub_file

_RESULT = "model.safetensors"
_CHECKPOINT = "last.pt"
_WANTED = f"a .safetensors or .pth file, a run's folder, or {PREFIX}OWNER/NAME"


def find_weights(named: str | Path, *, flag: str = "--weights", say: Callable[[str], None]) -> Path:
    """Returns the file that `named` stands for; of a finished run's folder its result.

    Args:
        flag: what was typed before it.
        say: takes a line where the file is fetched from the hub.

    Raises:
        ValueError: it is a folder without a result, or the hub has not got it.
        FileNotFoundError: there is nothing.
    """
    name = str(named)
    if name.startswith(PREFIX):
        return hub_file(name, flag=flag, say=say)
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"there is no weights file {path}; {flag} wants {_WANTED}{_hint(name)}")
    if (path / _RESULT).is_file():
        return path / _RESULT
    if (path / _CHECKPOINT).is_file():
        raise ValueError(
            f"{path} holds no {_RESULT}: its run has not ended; for the averaged weights so far: "
            f"{flag} {path / _CHECKPOINT}"
        )
    raise ValueError(f"{path} is a folder without {_RESULT}; {flag} wants {_WANTED}")


def variant_of(path: Path) -> str | None:
    """Returns the network that a file's weights are of: by its metadata or its shapes, or by the run.json
    beside it; None where these do not tell.

    Raises:
        ValueError: it is no file of weights.
    """
    from rexnet.weights import find_variant

    if (found := find_variant(path)) is not None:
        return found
    record = path.parent / "run.json"
    if not record.is_file():
        return None
    try:
        return str(json.loads(record.read_text())["variant"])
    except (ValueError, KeyError, TypeError):
        return None


def _hint(name: str) -> str:
    """What was meant: a name of the hub without its prefix, its address, or a network in the wrong place."""
    if re.fullmatch(r"rexnet_(1\.[035]|[23]\.0)", name):  # those that timm has from the authors
        return f"; its published weights are {PREFIX}timm/{name.replace('.', '')}0.nav_in1k"
    found = re.search(r"(?:huggingface\.co/|hf[-_]?hub[:/]+|^)(timm/[\w.-]+|(?<=/)[\w.-]+/[\w.-]+)", name)
    return f"; did you mean {PREFIX}{found[1]}?" if found and "/" in found[1] else ""
