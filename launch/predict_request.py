"""What a prediction is asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from launch.config import check_image_size
from launch.decoder import Decoder, check_decoder
from pipeline.config import Evaluation
from rexnet.channels import variant_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictRequest:
    """Name what images show: the likeliest classes of each. Exit code 1 where a file has no answer."""

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILES...")]
    """JPEG or PNG files, and folders, which are searched with all folders in them."""

    weights: str
    """A run's folder, a .safetensors file, the authors' .pth, timm's file, or hf-hub:OWNER/NAME."""

    variant: str | None = None
    """The network, where the weights do not tell it: rexnet_ and its width."""

    top: int = 5
    """Classes that are named for each image."""

    json: bool = False
    """Print one JSON object in place of the table."""

    image_size: int | None = None
    """Pixels of a side of the central crop. Default: that of the weights' evaluation, else 224."""

    crop_ratio: float | None = None
    """Side of that crop over the shorter side of the resized image. Default: likewise, else 0.875."""

    interpolation: Literal["bicubic", "bilinear"] | None = None
    """Filter of that resize, antialiased. Default: likewise, else bicubic."""

    eval_batch: int = Evaluation().eval_batch
    """Images that are shown at once."""

    decoder: Decoder = "dali"
    """What decodes, resizes and crops. Pillow works where DALI does not."""

    decode: Literal["auto", "gpu", "cpu"] = "auto"
    """Where DALI decodes JPEGs; auto: where the network runs."""

    workers: int = 0
    """Decoding threads; 0 shares the cores that the process may use."""

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("name at least one image, or a folder of images")
        if self.variant is not None:
            variant_shape(self.variant)
        if self.top < 1:
            raise ValueError(f"top is {self.top}, but at least one class is named: --top 5")
        check_image_size(self.image_size)
        if self.crop_ratio is not None:
            Evaluation(crop_ratio=self.crop_ratio)
        Evaluation(eval_batch=self.eval_batch)
        check_decoder(self.decoder, decode=self.decode)
