"""What an export is asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from launch.config import check_image_size
from rexnet.channels import variant_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """Hand weights on: a folder with the formats of other programs, checksums and a model card."""

    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")]
    """A run's folder, a .safetensors file, the authors' .pth, timm's file, or hf-hub:OWNER/NAME."""

    out: Path
    """The folder to write. An earlier export there is replaced; one that holds anything else is refused."""

    formats: tuple[Literal["safetensors", "pth", "timm", "onnx"], ...] | None = None
    """safetensors: this project's layout; pth: the authors'; timm: model.safetensors and config.json; onnx.
    Default: all but onnx, as far as they have such a network."""

    variant: str | None = None
    """The network, where the weights do not tell it: rexnet_ and its width."""

    image_size: int | None = None
    """Pixels of a side of the images, for config.json and ONNX. Default: that of the weights' evaluation,
    else 224."""

    fp16: bool = False
    """Round every weight to float16: half the space, nearly the same answers."""

    fold: bool = False
    """Fold BatchNorm into the layers before it, for evaluation only; of the formats safetensors and onnx."""

    def __post_init__(self) -> None:
        if self.variant is not None:
            variant_shape(self.variant)
        if self.formats is not None and not self.formats:
            raise ValueError("formats names none; there are safetensors, pth, timm, onnx")
        check_image_size(self.image_size)
        taken = [name for name in self.formats or () if name in ("pth", "timm")]
        if self.fold and taken:
            raise ValueError(
                f"fold leaves no norms, which {' and '.join(taken)} want: their networks would not load the "
                "weights; leave out --fold, or --formats safetensors onnx"
            )
