"""What three codes call the tensors of one network: ours, the authors', and timm's.

The authors' (https://github.com/clovaai/rexnet) number the modules of nested nn.Sequential. timm's
(https://github.com/huggingface/pytorch-image-models, timm/models/rexnet.py) has ours in other words; it knows
no ReXNet-lite. What acts on vectors is a matrix in ours, and mostly a 1x1 convolution in theirs.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from rexnet.channels import BlockShape, NetworkShape

Layout = Literal["ours", "official", "timm"]
"""Whose names a state dict has."""

LAYOUTS: tuple[Layout, ...] = get_args(Layout)

_THEIRS: tuple[Layout, ...] = ("official", "timm")
_STEM = 3  # modules that the authors' features begin with


class Names(NamedTuple):
    """One module's name in each layout, and in which layouts a matrix of ours is a 1x1 convolution."""

    ours: str
    official: str
    timm: str
    convolution: tuple[Layout, ...] = ()


def translate(
    state: Mapping[str, Tensor], shape: NetworkShape, *, source: Layout, to: Layout
) -> dict[str, Tensor]:
    """Returns a state dict of network `shape` under another layout's names, in the order of the network.

    A name that is not the network's is kept, behind the others.

    Args:
        state: a state dict in the layout `source`.
        shape: `rexnet.channels.variant_shape(NAME)`.
        to: the layout that is wanted.

    Raises:
        ValueError: timm is asked for a network that it does not have.
    """
    if shape.neck and "timm" in (source, to):
        raise ValueError("timm has no ReXNet-lite: its weights have the official layout or ours")
    leaves: dict[str, list[str]] = {}
    for name in state:
        module, _, leaf = name.rpartition(".")
        leaves.setdefault(module, []).append(leaf)
    renamed = {}
    for names in module_names(shape):
        old, new = getattr(names, source), getattr(names, to)
        for leaf in leaves.pop(old, []):
            tensor = state[f"{old}.{leaf}"]
            if leaf == "weight" and names.convolution and tensor.ndim > 1:
                matrix = tensor.flatten(1)
                tensor = matrix[:, :, None, None] if to in names.convolution else matrix
            renamed[f"{new}.{leaf}"] = tensor
    return renamed | {name: t for name, t in state.items() if name.rpartition(".")[0] in leaves}


def recognise(state: Mapping[str, Tensor], shape: NetworkShape) -> Layout | None:
    """Returns the layout that most of a state dict's names are of; None where it has names of none."""
    modules = {name.rpartition(".")[0] for name in state}
    known = {
        layout: len(modules & {getattr(names, layout) for names in module_names(shape)}) for layout in LAYOUTS
    }
    best = max(LAYOUTS, key=lambda layout: known[layout])
    return best if known[best] else None


def module_names(shape: NetworkShape) -> list[Names]:
    """Returns the names of all modules that hold tensors, in a state dict's order; the classifier is last."""
    count = len(shape.blocks)
    return [
        Names("stem.conv", "features.0", "stem.conv"),
        Names("stem.norm", "features.1", "stem.bn"),
        *(names for i, block in enumerate(shape.blocks) for names in _block_names(i, block)),
        Names("head.conv", f"features.{count + _STEM}", f"features.{count}.conv"),
        Names("head.norm", f"features.{count + _STEM + 1}", f"features.{count}.bn"),
        *(_neck_names() if shape.neck else ()),
        Names("classifier", "output.4" if shape.neck else "output.1", "head.fc", ("official",)),
    ]


def _neck_names() -> Iterator[Names]:
    yield Names("neck", "output.0", "", ("official",))
    yield Names("neck_norm", "output.1", "")


def _block_names(i: int, block: BlockShape) -> Iterator[Names]:
    ours, official, timm = f"blocks.{i}", f"features.{i + _STEM}.out", f"features.{i}"
    place = 0
    if block.hidden > block.inputs:
        yield Names(f"{ours}.expand.conv", f"{official}.0", f"{timm}.conv_exp.conv")
        yield Names(f"{ours}.expand.norm", f"{official}.1", f"{timm}.conv_exp.bn")
        place = 3
    yield Names(f"{ours}.depthwise.conv", f"{official}.{place}", f"{timm}.conv_dw.conv")
    yield Names(f"{ours}.depthwise.norm", f"{official}.{place + 1}", f"{timm}.conv_dw.bn")
    place += 2
    if block.squeeze:
        yield Names(f"{ours}.excite.reduce", f"{official}.{place}.fc.0", f"{timm}.se.fc1", _THEIRS)
        yield Names(f"{ours}.excite.norm", f"{official}.{place}.fc.1", f"{timm}.se.bn")
        yield Names(f"{ours}.excite.expand", f"{official}.{place}.fc.3", f"{timm}.se.fc2", _THEIRS)
        place += 1
    yield Names(f"{ours}.project.conv", f"{official}.{place + 1}", f"{timm}.conv_pwl.conv")
    yield Names(f"{ours}.project.norm", f"{official}.{place + 2}", f"{timm}.conv_pwl.bn")
