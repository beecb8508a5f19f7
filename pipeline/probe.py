"""How images can be decoded on this machine: found out by decoding one batch in a process of its own.

nvImageCodec 0.9 fails or ends by SIGSEGV where a GPU decodes a part of an image
(https://github.com/NVIDIA/nvImageCodec/issues/55), and no process survives its own SIGSEGV.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline import graph
from pipeline.graph import Placement
from pipeline.trial import find_fault

_SIZE = 224
_TOLERANCE = 0.15
"""Mean difference of normalised values, 8 of 255 levels: decoders differ by 1 or 2, other windows by 40."""

_NAMES = {"roi": "crops alone", "crop": "whole images"}

_ON_CPU = Placement(operators="cpu", decoder="cpu", device_id=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What decodes here, and what does not."""

    placement: Placement | None
    """None: nothing that was allowed."""

    faults: tuple[str, ...] = ()
    """Of the placements that were tried before it, in order, as sentences."""


def find_working(
    placements: Sequence[Placement], *, probe: Callable[[Placement], str | None] | None = None
) -> Found:
    """The first of `placements` that works. A CPU's decoder does; what has no alternative is not tried.

    Args:
        probe: what is wrong with decoding at a placement, or None; by default `decode_drawn` tells.
    """
    probe = probe or (lambda placement: find_fault(partial(decode_drawn, placement)))
    if len(placements) == 1:
        return Found(placement=placements[0])
    faults = []
    for placement in placements:
        fault = probe(placement) if placement.decoder == "mixed" else None
        if fault is None:
            return Found(placement=placement, faults=tuple(faults))
        faults.append(f"decoding {_NAMES[placement.window]} on the GPU {fault}")
    return Found(placement=None, faults=tuple(faults))


def decode_drawn(placement: Placement) -> None:
    """Decodes one batch of drawn images of all kinds by the training graph.

    ValueError: the images are not those that the CPU decodes. RuntimeError: there are none.
    """
    files, inputs = drawn_batch()
    shown, wanted = (_decode(files, inputs, at) for at in (placement, _ON_CPU))
    # CMYK has no one conversion to RGB: the last image must be decoded, to whatever colours
    apart = (shown[:-1] - wanted[:-1]).abs().mean((1, 2, 3)).max().item()
    if not apart < _TOLERANCE:
        raise ValueError(f"shows other images than on the CPU: values differ by {apart:.2g} in the mean")


def drawn_batch() -> tuple[list[NDArray[np.uint8]], tuple[NDArray[np.int32], ...]]:
    """Encoded images as data sets hold them, the last one CMYK, and their windows: starts, shapes [B, 2]."""
    usual, large = (375, 500), (1400, 1900)
    kinds = [
        (usual, "RGB", "JPEG", {"subsampling": "4:2:0"}),
        (usual, "RGB", "JPEG", {"subsampling": "4:4:4"}),
        (usual, "RGB", "JPEG", {"progressive": True}),
        (usual, "L", "JPEG", {}),
        (large, "RGB", "JPEG", {}),  # nvJPEG has another way for windows above a megapixel
        (usual, "RGB", "PNG", {}),
        (usual, "CMYK", "JPEG", {}),
    ]
    files, starts, shapes = [], [], []
    for (height, width), mode, form, options in kinds:
        y, x = np.mgrid[:height, :width]
        waves = np.stack([np.sin(x / 90 + y / 170), np.cos(y / 70), np.sin((x + y) / 130)], axis=-1)
        out = BytesIO()
        image = Image.fromarray((127.5 + 120 * waves).astype(np.uint8)).convert(mode)
        image.save(out, form, **options)
        files.append(np.frombuffer(out.getvalue(), np.uint8))
        starts.append((height // 9, width // 7))
        shapes.append((3 * height // 4, 4 * width // 5))
    return files, (np.array(starts, np.int32), np.array(shapes, np.int32))


def _decode(
    files: list[NDArray[np.uint8]], windows: tuple[NDArray[np.int32], ...], placement: Placement
) -> Tensor:
    sizes, flips = np.full((len(files), 2), _SIZE, np.float32), np.zeros(len(files), np.int32)
    batches = iter([(files, *windows, sizes, flips)])
    pipe = graph.build(graph.train_graph, batches, placement=placement, batch=len(files), threads=1)
    return graph.run(pipe, device=placement.device).cpu()
