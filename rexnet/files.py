"""Files of tensors: written atomically and always with the same bytes, read without running code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

_LENGTH = 8
"""Bytes that tell the header's length, and what the header's length is a multiple of
(https://github.com/huggingface/safetensors#format)."""


def write_tensors(state: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Writes tensors to `path` as safetensors, atomically; the same tensors and words give the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_bytes(_ordered(save(tensors, metadata=dict(metadata))))
    fresh.replace(path)


def read_metadata(path: Path | str) -> dict[str, str]:
    """Returns the words in the header of the safetensors file `path`; `save_weights` tells which ours has.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; wanted is a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from None


def read_content(path: Path) -> Any:
    """Returns what a .safetensors file holds, or what `torch.load` reads without running code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or foreign.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; wanted is a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged or foreign file raises many kinds
        kind = "SafetensorError" if isinstance(error, SafetensorError) else type(error).__name__
        raise ValueError(f"{path} is no weights file that can be read safely ({kind})") from None


def _ordered(content: bytes) -> bytes:
    """Returns a safetensors file whose metadata stand in order: the library's order changes by process."""
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text + content[end:]
