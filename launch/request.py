"""What an evaluation is asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from launch.config import check_image_size
from launch.decoder import Decoder, check_decoder
from launch.hub import PREFIX, read_hub_name
from pipeline.config import Evaluation, Feeding
from rexnet.channels import variant_shape


def _several(kind: type, *, metavar: str, meaning: str) -> Any:
    """Returns how a flag that takes several numbers is read; `meaning` is said of what is none."""

    def read(words: list[str]) -> tuple[Any, ...]:
        values = []
        for word in words:
            try:
                values.append(kind(word))
            except ValueError:
                raise ValueError(f"{word!r} is no number; {meaning}") from None
        return tuple(values)

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{metavar} [{metavar} ...]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda values: [f"{value:g}" for value in values],
    )


LEFT = ("result.json", "classes.csv", "results.json")
"""What an evaluation leaves beside attempt.json; the last of several evaluations."""


_SIZES = _several(int, metavar="PIXELS", meaning="several are written --image-size 224 256")
_RATIOS = _several(float, metavar="RATIO", meaning="several are written --crop-ratio 0.875 1.0")


_PERCENTS = _several(float, metavar="PERCENT", meaning="it is a percentage: --expect 77.86")


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One way to show the images."""

    image_size: int
    """Pixels of a side of the central crop."""

    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Evaluate weights: Acc@1, Acc@5 and loss over every image of DIR/val; the last line is JSON.

    Of several weights, sizes or crops each is evaluated with each, and a table comes before that line."""

    variant: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="VARIANT")] = ""
    """The network: rexnet_ and its width. Left out, the weights tell it; given, it is that of all weights."""

    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE [FILE ...]")]
    """A .safetensors file or the folder of a run, the authors' .pth, timm's file, or hf-hub:OWNER/NAME."""

    data: Path
    """Folder that holds val/ with one folder of images per class, or that folder itself."""

    expect: Annotated[tuple[float, ...], _PERCENTS] = ()
    """Acc@1 in percent that is to come out, 77.86 say; farther off than --tolerance, the exit code is 1. Of
    several evaluations, as many as there are, in the order of the table: sizes, crops, weights."""

    tolerance: float = 0.1
    """Percentage points that Acc@1 may be off --expect, either way."""

    out: Path | None = None
    """Folder of result.json, classes.csv and attempt.json. Default: runs/evaluate-<variant>-<hash of weights,
    data and settings>. Of several evaluations, the folder that holds theirs."""

    decoder: Decoder = "dali"
    """What decodes, resizes and crops. Pillow confirms a result of DALI, and works where DALI does not."""

    image_size: Annotated[tuple[int, ...], _SIZES] = (224,)
    """Pixels of a side of the central crop; several may be named."""

    crop_ratio: Annotated[tuple[float, ...], _RATIOS] = (Evaluation().crop_ratio,)
    """Side of the central crop over the shorter side of the resized image; several may be named."""

    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Filter of that resize, antialiased. Our accuracies and timm's of these networks are of bicubic,
    torchvision's of its own of bilinear."""

    eval_batch: int = Evaluation().eval_batch
    """Images per batch, the same for every world size: sums of floats depend on it."""

    num_classes: int | None = None
    """Outputs of the network. Default: as many as there are class folders."""

    feeding: Feeding = field(default_factory=Feeding)

    def __post_init__(self) -> None:
        if self.variant:
            variant_shape(self.variant)
        if not self.weights:
            raise ValueError("no weights are named: --weights FILE")
        if len(set(self.weights)) < len(self.weights):
            twice = next(name for name in self.weights if self.weights.count(name) > 1)
            raise ValueError(f"{twice} is named twice: --weights takes each file once")
        for name in self.weights:
            if name.startswith(PREFIX):
                read_hub_name(name)
        _check_expectation(self.expect, tolerance=self.tolerance)
        _check_sizes(self.image_size, self.crop_ratio)
        count = len(self.weights) * len(self.views())
        if self.expect and len(self.expect) != count:
            raise ValueError(
                f"--expect has {len(self.expect)} figures for {count} evaluations: one for each weights, "
                "at one size and crop, is easiest"
            )
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num-classes is {self.num_classes}, but a network has at least one class")
        check_decoder(self.decoder, decode=self.feeding.decode)
        if self.feeding.decode == "measure" or self.feeding.window != "auto":
            raise ValueError(
                "--decode measure and --window are of trainings: an evaluation decodes whole images, by "
                "--decode auto, gpu or cpu"
            )

    def views(self) -> list[View]:
        """Returns each size with each crop."""
        return [
            View(
                image_size=size,
                evaluation=Evaluation(
                    crop_ratio=ratio, interpolation=self.interpolation, eval_batch=self.eval_batch
                ),
            )
            for size, ratio in product(self.image_size, self.crop_ratio)
        ]


def own_folder(out: Path | None) -> Path | None:
    """Returns the folder that --out names, or None where an evaluation must not write to it."""
    try:
        return None if out is None else check_out(out)
    except (ValueError, OSError):
        return None


def check_out(out: Path) -> Path:
    """Returns `out`.

    Raises:
        ValueError: it is a file, the folder of a training run, whose attempt.json is not an evaluation's, or
            one with files that an evaluation would replace, but has not written.
    """
    if (out / "run.json").exists():
        raise ValueError(f"{out} holds a training run; name another folder: --out DIR")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; name a folder: --out DIR")
    if not (out / "attempt.json").exists() and (there := [name for name in LEFT if (out / name).exists()]):
        raise ValueError(
            f"{out} holds {' and '.join(there)}, which no evaluation has written; name another folder: "
            "--out DIR"
        )
    return out


def _check_expectation(expected: tuple[float, ...], *, tolerance: float) -> None:
    for expect in expected:
        if not 0 <= expect <= 100:
            raise ValueError(f"expect is {expect:g}, but is a percentage, 0 to 100: --expect 77.86")
        if 0 < expect <= 1:
            raise ValueError(
                f"expect is {expect:g}, which reads as a share, but is a percentage: "
                f"--expect {100 * expect:.10g}"
            )
    if not 0 <= tolerance <= 100:
        raise ValueError(f"tolerance is {tolerance:g}, but is in percentage points: --tolerance 0.1")


def _check_sizes(sizes: tuple[int, ...], ratios: tuple[float, ...]) -> None:
    for name, values in (("image-size", sizes), ("crop-ratio", ratios)):
        if not values:
            raise ValueError(f"--{name} wants a number, or several")
        if len(set(values)) < len(values):
            raise ValueError(f"{name} names a value twice: {' '.join(f'{value:g}' for value in values)}")
    for size in sizes:
        check_image_size(size)
