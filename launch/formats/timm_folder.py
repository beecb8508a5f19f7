"""Weights as timm loads them from a folder or from the Hugging Face hub: model.safetensors and config.json.

The content of config.json is that of timm's own exports
(https://github.com/huggingface/pytorch-image-models, timm/models/_hub.py, save_config_for_hf).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from launch.formats.contents import Contents, Written
from rexnet.channels import TOTAL_STRIDE
from rexnet.files import write_tensors
from rexnet.layouts import translate
from rexnet.metadata import DEVIATION, MEAN, metadata

_WIDTHS = (1.0, 1.3, 1.5, 2.0, 3.0)
"""Of which timm has a name; it builds the others by an argument."""


def write_timm(contents: Contents, folder: Path) -> list[Written]:
    """Writes both files; `timm.create_model("local-dir:FOLDER", pretrained=True)` loads them unchanged.

    Raises:
        ValueError: timm does not have this network.
    """
    model = contents.model
    state = translate(model.state_dict(), model.shape, source="ours", to="timm")
    told = metadata(classes=contents.classes, **contents.known)
    write_tensors(state, folder / "model.safetensors", metadata={"format": "pt", **told})
    text = json.dumps(timm_config(contents), indent=2) + "\n"
    (folder / "config.json").write_text(text)
    return [
        Written(name="model.safetensors", what="timm's layout"),
        Written(name="config.json", what="what timm builds the network from"),
    ]


def timm_config(contents: Contents) -> dict[str, Any]:
    """Returns the content of config.json."""
    size, shape = contents.image_size, contents.model.shape
    width = float(contents.variant.rpartition("_")[2])
    named = width in _WIDTHS
    config: dict[str, Any] = {
        "architecture": f"rexnet_{round(100 * width)}" if named else "rexnet_100",
        "num_classes": contents.classes,
        "num_features": shape.penultimate,
        "global_pool": "avg",
    }
    if contents.class_names is not None:
        config["label_names"] = [*contents.class_names]
    if not named:
        config["model_args"] = {"width_mult": width}
    config["pretrained_cfg"] = {
        "num_classes": contents.classes,
        "input_size": [3, size, size],
        "pool_size": [-(-size // TOTAL_STRIDE)] * 2,
        "fixed_input_size": False,
        "crop_pct": contents.crop_ratio,
        "crop_mode": "center",
        "interpolation": contents.interpolation,
        "mean": [*MEAN],
        "std": [*DEVIATION],
        "first_conv": "stem.conv",
        "classifier": "head.fc",
        "license": "mit",
    }
    return config
