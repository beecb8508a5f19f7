"""What is handed on: a network with its weights, and what whoever takes it must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rexnet.model import ReXNet

Format = Literal["safetensors", "pth", "timm", "onnx"]
"""What a file of weights can be for."""

FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """A network, in evaluation mode on the CPU."""

    model: ReXNet
    """Its weights are float32, or float16 to be handed on as such."""
    variant: str
    class_names: Sequence[str] | None
    """Output i is class_names[i]; None where nobody knows."""
    image_size: int
    """Pixels of a side of the central crop that it is to be shown."""
    crop_ratio: float
    """Side of that crop over the shorter side of the resized image."""
    interpolation: str
    """Filter of that resize: bicubic or bilinear."""
    evaluated_at: int | None
    """Pixels of a side of the crop that the weights were evaluated at; None where nothing tells how they
    were, and the usual way stands here."""
    half: bool = False
    folded: bool = False

    @property
    def classes(self) -> int:
        return self.model.classifier.out_features

    @property
    def known(self) -> dict[str, Any]:
        """What of this a header tells: arguments of `rexnet.save_weights`, but what is assumed.

        The size is that of the weights' evaluation, for which every reader of a header takes it.
        """
        told = {"variant": self.variant, "class_names": self.class_names}
        if self.evaluated_at is None:
            return told
        shown = {"crop_ratio": self.crop_ratio, "interpolation": self.interpolation}
        return told | {"image_size": self.evaluated_at} | shown

    @property
    def evaluated_elsewhere(self) -> bool:
        """Whether the weights were evaluated at another size than is to be shown."""
        return self.evaluated_at not in (None, self.image_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A file that was written, in words for the card."""

    name: str
    what: str
