"""What our file says of its weights: variant, classes, and how images are to be shown."""

import json
from collections.abc import Sequence
from pathlib import Path

from rexnet.files import read_metadata

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's red, green and blue, on a scale of 0 to 1; what images are normalised with."""

DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's channels, on the same scale."""


def metadata(
    variant: str,
    *,
    classes: int,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    crop_ratio: float | None = None,
    interpolation: str | None = None,
) -> dict[str, str]:
    """Returns the words in a file's header; the arguments are those of `rexnet.save_weights`."""
    assert class_names is None or len(class_names) == classes
    told = {
        "variant": variant,
        "classes": str(classes),
        "mean": str(MEAN),
        "std": str(DEVIATION),
        "class_names": None if class_names is None else json.dumps([*class_names]),
        "image_size": image_size,
        "crop_ratio": crop_ratio,
        "interpolation": interpolation,
    }
    return {name: str(value) for name, value in told.items() if value is not None}


def read_class_names(path: Path | str) -> list[str] | None:
    """Returns the class names in the safetensors file `path`, output i's at place i; None where it has none.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is none of ours.
    """
    written = read_metadata(path).get("class_names")
    if written is None:
        return None
    try:
        names = json.loads(written)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} is damaged: its class names are no list of words")
    return names
