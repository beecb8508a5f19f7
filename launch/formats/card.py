"""The model card: README.md with a head that Hugging Face reads (https://huggingface.co/docs/hub/model-cards).

It tells what is known and says so of what is not; no figure in it comes from elsewhere than its facts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.formats.contents import Contents
from launch.formats.loading import loading
from launch.formats.markdown import block, code, plain, table, word
from rexnet.metadata import DEVIATION, MEAN

UNKNOWN = "not known: these weights came without the run that trained them"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What the run measured at its end; accuracies in percent."""

    acc1: float
    acc5: float
    acc1_interval: tuple[float, float]
    """95 %."""
    acc5_interval: tuple[float, float]
    images: int
    weights: str
    official: tuple[float, float] | None
    """Published Acc@1 and Acc@5; None but of ImageNet-1k."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What run.json says of the training."""

    recipe: str
    command: str | None
    """What repeats it; None where the recipe is not this project's."""
    data: str
    imagenet: bool
    settings: Mapping[str, Any]
    """All that makes the run this run."""
    facts: Mapping[str, str]
    """Further facts by what they are called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of the folder."""

    name: str
    what: str
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """All that the card tells."""

    contents: Contents
    parameters: int
    macs: int
    """Of one image of the contents' size."""
    files: Sequence[File]
    training: Training | None
    """None where it is not known."""
    result: Result | None
    """None where nothing was measured."""
    source: str
    """The file that the weights come from, and its SHA-256."""
    checks: Mapping[str, str]
    """File: how it was held against the source."""


def card_text(card: Card) -> str:
    """Returns README.md."""
    parts = [
        _head(card),
        f"# {_title(card.contents.variant)}",
        "ReXNet ([Han et al., CVPR 2021](https://arxiv.org/abs/2007.00992)), a network for naming what an "
        "image shows.",
        "## Result",
        _result(card),
        "## Network and images",
        _network(card),
        "## Training",
        _training(card),
        "## Files",
        _files(card),
        "## Loading",
        *loading(card.contents, {file.name for file in card.files}),
        "## License",
        "MIT, with the notice of NAVER Corp., whose work the network and its published training settings are "
        "([clovaai/rexnet](https://github.com/clovaai/rexnet)): see `LICENSE`. What the images' licenses ask "
        "of whoever uses weights that were trained on them is not said here.",
    ]
    return "\n\n".join(parts) + "\n"


def _title(variant: str) -> str:
    family, _, width = variant.rpartition("_")
    return f"ReXNet{'-lite' * family.endswith('_lite')} {width}"


def file_size(count: int) -> str:
    """Returns a number of bytes in words.

    >>> file_size(14_320_000), file_size(1_234)
    ('14.3 MB', '1.2 kB')
    """
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _head(card: Card) -> str:
    names = {file.name for file in card.files}
    with_timm = "config.json" in names
    tags = ["image-classification", "rexnet", *(["timm"] if with_timm else [])]
    if any(name.endswith(".onnx") for name in names):
        tags.append("onnx")
    lines = ["---", "license: mit", f"library_name: {'timm' if with_timm else 'pytorch'}"]
    lines += ["pipeline_tag: image-classification", "tags:", *(f"- {word(tag)}" for tag in tags)]
    if card.training is not None and card.training.imagenet:
        lines += ["datasets:", "- imagenet-1k"]
    lines += ["metrics:", "- accuracy"]
    if card.result is not None and card.training is not None and card.training.imagenet:
        contents = card.contents
        measured = f", measured at {contents.evaluated_at} pixels" * contents.evaluated_elsewhere
        lines += [
            "model-index:",
            f"- name: {word(card.contents.variant)}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            "      name: ImageNet-1k",
            "      type: imagenet-1k",
            "      split: validation",
            "    metrics:",
            *_metric(f"Acc@1{measured}", card.result.acc1),
            *_metric(f"Acc@5{measured}", card.result.acc5),
        ]
    return "\n".join([*lines, "---"])


def _metric(name: str, value: float) -> list[str]:
    return ["    - type: accuracy", f"      name: {word(name)}", f"      value: {value:.3f}"]


def _result(card: Card) -> str:
    result = card.result
    if result is None:
        return "Not measured here" + (
            ": these weights came without the run that trained them."
            if card.training is None
            else ": the run has not ended."
        )
    rows = []
    for place, (name, value, (low, high)) in enumerate(
        [("Acc@1", result.acc1, result.acc1_interval), ("Acc@5", result.acc5, result.acc5_interval)]
    ):
        official = [f"{result.official[place]:.1f} %"] if result.official else []
        rows.append([name, f"{value:.2f} %", f"{low:.2f} to {high:.2f} %", str(result.images), *official])
    head = ["", "Measured", "95 % interval", "Images", *(["Published"] if result.official else [])]
    told = f"{plain(result.weights[:1].upper() + result.weights[1:])} at the run's end, not its best epoch."
    if card.contents.half or card.contents.folded:
        told += " Measured of the weights before they were changed for this folder: see Files."
    if card.contents.evaluated_elsewhere:
        told += (
            f" Measured at {card.contents.evaluated_at} pixels, not at the {card.contents.image_size} below."
        )
    return table(head, rows) + "\n\n" + told + " The interval is Wilson's, of the images."


def _network(card: Card) -> str:
    contents, size = card.contents, card.contents.image_size
    names = contents.class_names
    evaluated = f"; the weights were evaluated at {contents.evaluated_at}" * contents.evaluated_elsewhere
    if contents.evaluated_at is None:
        evaluated = "; assumed: nothing tells how the weights were evaluated"
    told = f"{contents.classes}" + ("; their names are not known" if names is None else "")
    if names is not None:
        shown = ", ".join(code(name) for name in names[:10])
        told += f": {shown}" + (", ..." if len(names) > 10 else "")
    rows = [
        ["Network", code(contents.variant)],
        ["Parameters", f"{card.parameters / 1e6:.2f} million"],
        ["Multiply-accumulates", f"{card.macs / 1e9:.2f} billion for an image of {size} x {size} pixels"],
        ["Classes", told],
        ["Image", f"RGB, {size} x {size} pixels, the central crop{evaluated}"],
        ["Resize", f"shorter side to {int(size / contents.crop_ratio)} pixels (crop ratio "
         f"{contents.crop_ratio:g}), {contents.interpolation}, antialiased"],
        ["Mean", f"{MEAN}, of values from 0 to 1"],
        ["Standard deviation", f"{DEVIATION}"],
    ]  # fmt: skip
    return table(["", ""], rows)


def _training(card: Card) -> str:
    training = card.training
    if training is None:
        return f"Recipe, data and settings are {UNKNOWN}."
    rows = [["Recipe", code(training.recipe)], ["Data", plain(training.data)]]
    rows += [[name, plain(value)] for name, value in training.facts.items()]
    if training.command is None:
        repeated = "The recipe is not one of this project's. Its settings are:\n\n" + block(
            json.dumps(training.settings, indent=1), "json"
        )
    else:
        repeated = "This command repeats it, in a checkout of this project:\n\n" + block(
            training.command, "bash"
        )
    return table(["", ""], rows) + "\n\n" + repeated


def _files(card: Card) -> str:
    rows = [[code(file.name), file.what, file_size(file.size), code(file.sha256)] for file in card.files]
    told = [f"Weights from {plain(card.source)}. `sha256sum -c SHA256SUMS` checks the files."]
    if card.contents.half:
        told.append(
            "Every weight is rounded to float16; load them as float32, or compute in float16 as well."
        )
    if card.contents.folded:
        told.append("BatchNorm is folded into the layers before it: for evaluation only, not for training.")
    told += [f"{code(name)}: {check}." for name, check in card.checks.items()]
    return table(["File", "What", "Size", "SHA-256"], rows) + "\n\n" + "\n\n".join(told)
