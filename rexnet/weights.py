"""Weights in and out of a network.

Our file is safetensors with the variant, the classes and how images are to be shown in its metadata; read are
also the authors' .pth and timm's files.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from rexnet.channels import NetworkShape, variant_shape
from rexnet.files import read_content, read_metadata, write_tensors
from rexnet.folding import is_folded
from rexnet.layouts import LAYOUTS, Layout, module_names, recognise, translate
from rexnet.metadata import metadata
from rexnet.published import published_variants

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


def save_weights(
    model: nn.Module,
    path: Path | str,
    *,
    variant: str,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    crop_ratio: float | None = None,
    interpolation: str | None = None,
) -> None:
    """Writes the state dict of `model` to `path` as safetensors, atomically.

    Args:
        variant: the network's name, for the metadata, as are all that follow.
        class_names: output i is class_names[i].
        image_size: pixels of a side of the central crop that the network is to be shown.
        crop_ratio: side of that crop over the shorter side of the resized image.
        interpolation: filter of that resize: bicubic or bilinear.
    """
    state = model.state_dict()
    told = metadata(
        variant,
        classes=len(state["classifier.weight"]),
        class_names=class_names,
        image_size=image_size,
        crop_ratio=crop_ratio,
        interpolation=interpolation,
    )
    write_tensors(state, Path(path), metadata=told)


def load_weights(model: Network, source: Source) -> Layout:
    """Loads `source`, a file or a state dict, into `model` and returns the layout that was recognised.

    Files are .safetensors, or what `torch.load` reads without running code. A state dict may be wrapped by a
    training program, and its names by DistributedDataParallel's `module.`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or of other names or shapes than the network; the message lists them.
    """
    state = read_state(source)
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
    state = read_state(source)
    classifier = getattr(module_names(shape)[-1], _layout(state, shape, source))
    if f"{classifier}.weight" not in state:
        raise ValueError(f"{_name(source)} lacks the classifier of this network, {classifier}.weight")
    return state[f"{classifier}.weight"].shape[0]


def find_variant(source: Source) -> str | None:
    """Returns the network that the weights in `source` are of; None where they are of no published one.

    Our metadata say it, and otherwise the channel counts.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    if not isinstance(source, Mapping) and Path(source).suffix == ".safetensors" and Path(source).is_file():
        with suppress(ValueError):  # a damaged file is told of below
            if told := read_metadata(Path(source)).get("variant"):
                return told
    state = read_state(source)
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


def read_state(source: Source) -> dict[str, Tensor]:
    """Returns the state dict of a file or of what a training program has wrapped it in, in its own layout.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    content: Any = source if isinstance(source, Mapping) else read_content(Path(source))
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
    if told and is_folded(state) and not is_folded(wanted):
        raise ValueError(
            f"{_name(source)} has its norms folded into the convolutions, this network has not: "
            "rexnet.create_model(..., weights=FILE) makes the network that it fits, for evaluation only"
        )
    if told:
        raise ValueError(
            f"{_name(source)}, in the {layout} layout, does not fit this network: {'; '.join(told)}. "
            "Is it of another variant or class count?"
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + f" and {len(names) - 6} more" * (len(names) > 6)


def _name(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else str(source)
