"""Weights as files of tensors: ours, and the authors'."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import torch

from launch.formats.contents import Contents, Written
from rexnet.layouts import translate
from rexnet.weights import save_weights


def write_ours(contents: Contents, folder: Path) -> Written:
    """Writes our layout, with all that is known of it in the header."""
    name = f"{contents.variant}.safetensors"
    save_weights(contents.model, folder / name, **contents.known)
    return Written(name=name, what="this project's layout")


def write_official(contents: Contents, folder: Path) -> Written:
    """Writes a state dict that the authors' network loads (https://github.com/clovaai/rexnet)."""
    name = f"{contents.variant}.pth"
    model = contents.model
    content = BytesIO()  # for torch.save tells of a full disk in words of its own
    torch.save(translate(model.state_dict(), model.shape, source="ours", to="official"), content)
    (folder / name).write_bytes(content.getbuffer())
    return Written(name=name, what="the authors' layout")
