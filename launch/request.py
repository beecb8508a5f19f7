"""What an evaluation is asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipeline.config import Evaluation, Feeding
from rexnet.channels import TOTAL_STRIDE, variant_shape


def _percent(words: list[str]) -> float:
    try:
        return float(words[0])
    except ValueError:
        raise ValueError(f"{words[0]!r} is no number; it is a percentage: --expect 77.86") from None


_PERCENT = tyro.constructors.PrimitiveConstructorSpec[float](
    nargs=1,
    metavar="PERCENT",
    instance_from_str=_percent,
    is_instance=lambda value: value is None or isinstance(value, float),
    str_from_instance=lambda value: [str(value)],
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Evaluate weights: Acc@1, Acc@5 and loss over every image of DIR/val; the last line is JSON."""

    variant: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="VARIANT")]
    """The network: rexnet_ and its width."""

    weights: Path
    """A .safetensors file of a run, the authors' .pth, or timm's file."""

    data: Path
    """Folder that holds val/ with one folder of images per class, or that folder itself."""

    expect: Annotated[float | None, _PERCENT] = None
    """Acc@1 in percent that is to come out, 77.86 say; farther off than --tolerance, the exit code is 1."""

    tolerance: float = 0.1
    """Percentage points that Acc@1 may be off --expect, either way."""

    out: Path | None = None
    """Folder of result.json and attempt.json. Default: runs/evaluate-<variant>-<hash of weights, data and
    settings>."""

    decoder: Literal["dali", "pillow"] = "dali"
    """What decodes, resizes and crops. Pillow confirms a result of DALI, and works where DALI does not."""

    image_size: int = 224
    """Pixels of a side of the central crop."""

    num_classes: int | None = None
    """Outputs of the network. Default: as many as there are class folders."""

    evaluation: Evaluation = field(default_factory=Evaluation)
    feeding: Feeding = field(default_factory=Feeding)

    def __post_init__(self) -> None:
        variant_shape(self.variant)
        _check_expectation(self.expect, tolerance=self.tolerance)
        if self.image_size < TOTAL_STRIDE:
            raise ValueError(
                f"image-size is {self.image_size} pixels, but the network takes {TOTAL_STRIDE} or more: it "
                f"shrinks an image {TOTAL_STRIDE}-fold (--image-size {TOTAL_STRIDE})"
            )
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num-classes is {self.num_classes}, but a network has at least one class")
        if self.decoder == "pillow" and self.feeding.decode == "gpu":
            raise ValueError("Pillow decodes on the CPU only: leave out --decode gpu, or --decoder pillow")
        if self.feeding.decode == "measure" or self.feeding.window != "auto":
            raise ValueError(
                "--decode measure and --window are of trainings: an evaluation decodes whole images, by "
                "--decode auto, gpu or cpu"
            )


def own_folder(out: Path | None) -> Path | None:
    """Returns the folder that --out names, or None where an evaluation must not write to it."""
    try:
        return None if out is None else check_out(out)
    except ValueError:
        return None


def check_out(out: Path) -> Path:
    """Returns `out`.

    Raises:
        ValueError: it is a file, or the folder of a training run, whose attempt.json is not an evaluation's.
    """
    if (out / "run.json").exists():
        raise ValueError(f"{out} holds a training run; name another folder: --out DIR")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; name a folder: --out DIR")
    return out


def find_weights(weights: Path) -> Path:
    """Returns the file that --weights names.

    Raises:
        ValueError: it is a folder.
        FileNotFoundError: there is nothing.
    """
    path = weights.expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no weights file {path}; --weights wants a .safetensors or .pth file"
        )
    inside = path / "model.safetensors"
    wanted = inside if inside.is_file() else "a .safetensors or .pth file"
    raise ValueError(f"{path} is a folder; --weights wants a file: {wanted}")


def _check_expectation(expect: float | None, *, tolerance: float) -> None:
    if expect is not None and not 0 <= expect <= 100:
        raise ValueError(f"expect is {expect:g}, but is a percentage, 0 to 100: --expect 77.86")
    if expect is not None and 0 < expect <= 1:
        raise ValueError(
            f"expect is {expect:g}, which reads as a share, but is a percentage: --expect {100 * expect:.10g}"
        )
    if not 0 <= tolerance <= 100:
        raise ValueError(f"tolerance is {tolerance:g}, but is in percentage points: --tolerance 0.1")
