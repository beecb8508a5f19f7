"""Weights in and out of a network.

Our file is safetensors with the variant, the number of classes and the images' mean and deviation in its
metadata; read are also the authors' .pth and timm's files.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rexnet.channels import NetworkShape, variant_shape
from rexnet.layouts import LAYOUTS, Layout, module_names, recognise, translate
from rexnet.published import published_variants

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's red, green and blue, on a scale of 0 to 1; what images are normalised with."""

DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's channels, on the same scale."""

Source = Path | str | Mapping[str, Tensor]
"""A file of weights, or a state dict."""

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "state", "ema")
"""Keys under which training programs keep a state dict, the averaged one first; ours has state, then ema."""

_COUNTER = "num_batches_tracked"  # old files lack it, and no result depends on it


class Network(Protocol):
    """What has a shape and a state dict: `rexnet.ReXNet`."""

    shape: NetworkShape

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


def save_weights(model: nn.Module, path: Path, *, variant: str) -> None:
    """Writes a network's state dict to `path` as safetensors, atomically."""
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


def load_weights(model: Network, source: Source) -> Layout:
    """Loads a file or a state dict into `model` and returns the layout that was recognised.

    Files are .safetensors, or what `torch.load` reads without running code. A state dict may be wrapped by a
    training program, and its names by DistributedDataParallel's `module.`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or of other names or shapes than the network; the message lists them.
    """
    state = _read(source)
    layout = _layout(state, model.shape, source)
    wanted = model.state_dict()
    state = translate(state, model.shape, source=layout, to="ours")
    state = {name: t for name, t in wanted.items() if name.endswith(_COUNTER)} | state
    _complain(source, layout, state, wanted)
    model.load_state_dict(state)
    return layout


def class_count(source: Source, shape: NetworkShape) -> int:
    """Returns how many classes weights tell apart.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    state = _read(source)
    classifier = getattr(module_names(shape)[-1], _layout(state, shape, source))
    if f"{classifier}.weight" not in state:
        raise ValueError(f"{_name(source)} lacks the classifier of this network, {classifier}.weight")
    return state[f"{classifier}.weight"].shape[0]


def find_variant(source: Source) -> str | None:
    """Returns the network that weights are of: what our metadata says, or the published one whose channel
    counts they have; None where they are of no published network.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    if not isinstance(source, Mapping) and Path(source).suffix == ".safetensors" and Path(source).is_file():
        with suppress(SafetensorError):  # a damaged file is told of below
            if told := read_metadata(Path(source)).get("variant"):
                return told
    state = _read(source)
    return next((name for name in published_variants() if _has_channels(state, variant_shape(name))), None)


def _has_channels(state: Mapping[str, Tensor], shape: NetworkShape) -> bool:
    """Whether the norms behind a network's stem, blocks and head are as wide as `shape` says."""
    layout = recognise(state, shape)
    if layout is None:
        return False
    ends = ("stem.norm", ".project.norm", "head.norm", "neck_norm")
    norms = [getattr(names, layout) for names in module_names(shape) if names.ours.endswith(ends)]
    neck = [shape.neck] if shape.neck else []
    wanted = [shape.stem, *(block.outputs for block in shape.blocks), shape.penultimate, *neck]
    tensors = [state.get(f"{norm}.weight") for norm in norms]
    return [None if tensor is None else len(tensor) for tensor in tensors] == wanted


def _layout(state: Mapping[str, Tensor], shape: NetworkShape, source: Source) -> Layout:
    layout = recognise(state, shape)
    if layout is None:
        raise ValueError(
            f"{_name(source)} holds no ReXNet: it has {_few(list(state))}, which is not the layout of any of "
            f"{', '.join(LAYOUTS)}"
        )
    return layout


def _read(source: Source) -> dict[str, Tensor]:
    content: Any = source if isinstance(source, Mapping) else _read_file(Path(source))
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise ValueError(f"{_name(source)} holds no state dict")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _read_file(path: Path) -> Any:
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


def _complain(
    source: Source, layout: Layout, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Raises what is wrong with `state`, all in one message."""
    faults = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "of another shape": [
            f"{name} {[*state[name].shape]} for {[*tensor.shape]}"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    told = [f"{len(names)} {kind}: {_few(names)}" for kind, names in faults.items() if names]
    if told:
        raise ValueError(
            f"{_name(source)}, in the {layout} layout, does not fit this network: {'; '.join(told)}. "
            "Is it of another variant or class count?"
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + f" and {len(names) - 6} more" * (len(names) > 6)


def _name(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else str(source)
