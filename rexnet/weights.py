"""Weights in and out: our own layout, and the authors' .pth.

Our file is safetensors with the variant, the number of classes and the images' mean and deviation in its
metadata. The authors' state dict lists the same tensors in the same order under other names; their
classifier is a 1x1 convolution.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's red, green and blue, on a scale of 0 to 1; what images are normalised with."""

DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's channels, on the same scale."""

_OFFICIAL_STEM = "features.0.weight"


def save_weights(model: nn.Module, path: Path, *, variant: str) -> None:
    """Writes a model's state dict to `path` as safetensors, atomically."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    classes = state["classifier.weight"].shape[0]
    metadata = {"variant": variant, "classes": str(classes), "mean": str(MEAN), "std": str(DEVIATION)}
    fresh = path.with_name(path.name + ".tmp")
    save_file(state, fresh, metadata=metadata)
    fresh.replace(path)


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of one of our files: variant, classes, mean, std."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def load_weights(model: nn.Module, path: Path) -> str:
    """Loads a file into `model` and returns the layout that was recognised: `ours` or `official`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds other keys or shapes than the model; the message names them.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no weights file {path}; --weights wants a .safetensors or .pth file"
        )
    loaded = _read(path)
    layout = "official" if _OFFICIAL_STEM in loaded else "ours"
    state = from_official(loaded, like=model.state_dict()) if layout == "official" else loaded
    _complain(path, state, model.state_dict())
    model.load_state_dict(state)
    return layout


def from_official(official: dict[str, Tensor], *, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the authors' state dict under our names; `like` gives our names and shapes.

    Raises:
        ValueError: the numbers of tensors differ.
    """
    if len(official) != len(like):
        raise ValueError(
            f"the official weights hold {len(official)} tensors, but this network has {len(like)}; "
            "they belong to another variant"
        )
    pairs = zip(like.items(), official.values(), strict=True)
    return {name: t.reshape(own.shape) if t.numel() == own.numel() else t for (name, own), t in pairs}


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file raises many kinds
        raise ValueError(
            f"{path} is no weights file that can be read safely ({type(error).__name__})"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path} holds no state dict")
    return content


def _complain(path: Path, state: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    told = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{' ...' * (len(names) > 3)})"
        for kind, names in faults.items()
        if names
    ]
    if told:
        raise ValueError(
            f"{path} does not fit this network: {'; '.join(told)}; is it of another variant or class count?"
        )
