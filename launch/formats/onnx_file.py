"""A network as ONNX, for runtimes that know no torch; held against torch before it is handed on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from launch.formats.contents import Contents, Written
from rexnet.metadata import metadata

_NEEDED = ("onnx", "onnxruntime", "onnxscript")
_OPSET = 18  # the one that torch's exporter writes; others are converted from it
_EXAMPLE = 2  # images; of 1 the exporter would not know that their number is free
_INPUT, _OUTPUT = "images", "logits"


class _Halved(nn.Module):
    """Computes in float16 between float32 images and float32 logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.half()).float()


def check_onnx() -> None:
    """Raises ValueError where a package is missing that ONNX needs, with what to type."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"format onnx needs {', '.join(missing)}, not installed here; install: "
            'pip install -c constraints/cpu.txt -e ".[export]"'
        )


def write_onnx(contents: Contents, folder: Path) -> Written:
    """Writes the network for any number of images [B, 3, S, S], float32, normalised; logits come out."""
    name = f"{contents.variant}.onnx"
    model: nn.Module = _Halved(contents.model) if contents.half else contents.model
    example = torch.zeros(_EXAMPLE, 3, contents.image_size, contents.image_size)
    with _quiet():
        program = torch.onnx.export(
            model.eval(),
            (example,),
            dynamo=True,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=_OPSET,
            verbose=False,
        )
    assert program is not None
    known = {**contents.known, "image_size": contents.image_size}  # a graph takes no other
    program.model.metadata_props.update(metadata(classes=contents.classes, **known))
    program.save(folder / name, external_data=False)
    return Written(name=name, what=f"ONNX, opset {_OPSET}")


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Returns the logits [B, classes] that ONNX Runtime computes of images [B, 3, S, S] on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run([_OUTPUT], {_INPUT: images.numpy()})
    return torch.from_numpy(logits)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the user what torch's exporter says of its own inside."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # torchvision, whose operators are not needed, is missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it copies a class of torch's that goes
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(level)
