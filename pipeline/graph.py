"""The DALI graphs that turn encoded bytes into normalised images, on the CPU or on a GPU.

The graphs draw nothing: bytes, windows, sizes and flips are inputs, so the same inputs give the same images
whatever the batch around them or the number of threads.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import nvidia.dali.fn as fn
import torch
from numpy.typing import NDArray
from nvidia.dali.pipeline import Pipeline, pipeline_def
from nvidia.dali.types import DALIDataType, DALIImageType, DALIInterpType
from torch import Tensor

from pipeline import operations
from pipeline.batch import MEAN, STD

DEPTH = 2
"""Batches that are decoded while one is used."""

Inputs = Iterator[tuple[Sequence[NDArray[Any]] | NDArray[Any], ...]]
"""Batches, each a tuple of the graph's inputs, each a sequence of B arrays or one array [B, ...], dense."""

_BYTE, _INT, _FLOAT = DALIDataType.UINT8, DALIDataType.INT32, DALIDataType.FLOAT
_FILTERS = {"bicubic": DALIInterpType.INTERP_CUBIC, "bilinear": DALIInterpType.INTERP_LINEAR}


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a graph runs, and how it comes to a training image's window."""

    operators: Literal["cpu", "gpu"]
    decoder: Literal["cpu", "mixed"]
    device_id: int | None
    window: Literal["roi", "crop"] = "roi"
    """roi decodes the window alone, crop the whole image, of which it cuts the window out."""

    @property
    def device(self) -> torch.device:
        """Where the images come out."""
        return torch.device("cpu") if self.device_id is None else torch.device("cuda", self.device_id)


def placements(
    device: torch.device,
    *,
    decode: Literal["auto", "gpu", "cpu", "measure"],
    window: Literal["auto", "roi", "crop"] = "auto",
) -> tuple[Placement, ...]:
    """What `decode` and `window` allow, the least careful first; operators are on the training device.

    ValueError: decoding on a GPU was asked for, but training is on a CPU.
    """
    windows: tuple[Literal["roi", "crop"], ...] = ("roi", "crop") if window == "auto" else (window,)
    if device.type == "cpu":
        if decode == "gpu":
            raise ValueError("decode is gpu, but this run trains on a cpu: use --decode auto or --decode cpu")
        return (Placement(operators="cpu", decoder="cpu", device_id=None, window=windows[0]),)
    number = torch.cuda.current_device() if device.index is None else device.index
    by_gpu = [Placement(operators="gpu", decoder="mixed", device_id=number, window=each) for each in windows]
    by_cpu = Placement(operators="gpu", decoder="cpu", device_id=number, window=windows[0])
    return {"gpu": (*by_gpu,), "cpu": (by_cpu,)}.get(decode, (*by_gpu, by_cpu))


def place(
    device: torch.device,
    *,
    decode: Literal["auto", "gpu", "cpu", "measure"],
    window: Literal["auto", "roi", "crop"] = "auto",
) -> Placement:
    """The first of `placements`: what is asked for, or on trust where that is open."""
    return placements(device, decode=decode, window=window)[0]


def threads(workers: int, *, device: torch.device, processes: int) -> int:
    """Threads to decode with: `workers`, or for 0 this process's share of the cores it may use.

    `processes` is how many processes share those cores. On a CPU that share is 1: training needs the rest.
    """
    if workers:
        return workers
    return 1 if device.type == "cpu" else max(1, len(os.sched_getaffinity(0)) // processes)


def build(graph: Any, source: Inputs, *, placement: Placement, batch: int, threads: int) -> Pipeline:
    """Build `train_graph` or `eval_graph` over its inputs for batches of at most `batch` images."""
    pipe = graph(
        source,
        placement,
        batch_size=batch,
        num_threads=threads,
        device_id=placement.device_id,
        prefetch_queue_depth=DEPTH,
        exec_dynamic=True,  # its outputs are the caller's for good; the older executors reuse them
    )
    pipe.build()
    return pipe


@pipeline_def(enable_conditionals=True)
def train_graph(source: Inputs, placement: Placement, *, rand_ops: int = 0) -> Any:
    """From (bytes, starts (y, x), shapes, sizes, flips) to float32 [B, H, W, 3], normalised.

    The window, decoded as `placement` says, is resized with an antialiased bilinear filter. Sizes may change
    from batch to batch. With `rand_ops` the inputs go on with forms and numbers of RandAugment's operations.
    """
    dtypes, ndims = [_BYTE, _INT, _INT, _FLOAT, _INT], [1, 1, 1, 1, 0]
    if rand_ops:
        dtypes, ndims = [*dtypes, _INT, _FLOAT], [*ndims, 1, 2]
    encoded, start, shape, size, flip, *drawn = _inputs(source, dtypes=dtypes, ndims=ndims)
    cut = {"start": start, "shape": shape, "axes": [0, 1]}
    if placement.window == "roi":
        images = fn.decoders.image_slice(encoded, **cut, **_decoding(placement))
    else:
        images = fn.slice(fn.decoders.image(encoded, **_decoding(placement)), **cut)
    images = fn.resize(
        _moved(images, placement), size=size, interp_type=DALIInterpType.INTERP_LINEAR, antialias=True
    )
    if rand_ops:
        forms, numbers = drawn
        own = operations.Numbers(numbers, numbers.gpu() if placement.operators == "gpu" else numbers)
        images = operations.apply(images, forms=forms, numbers=own, count=rand_ops)
    return _normalise(images, mirror=flip)


@pipeline_def
def eval_graph(source: Inputs, placement: Placement, *, interpolation: Literal["bicubic", "bilinear"]) -> Any:
    """From (bytes, window starts (y, x), window ends, sizes) to float32 [B, H, W, 3], normalised.

    The whole image is decoded and its window resized in one go with an antialiased filter, whose taps at the
    window's edge still see the image around it.
    """
    encoded, start, end, size = _inputs(source, dtypes=(_BYTE, _FLOAT, _FLOAT, _FLOAT), ndims=(1, 1, 1, 1))
    images = fn.decoders.image(encoded, **_decoding(placement))
    images = fn.resize(
        _moved(images, placement),
        size=size,
        roi_start=start,
        roi_end=end,
        interp_type=_FILTERS[interpolation],
        antialias=True,
    )
    return _normalise(images, mirror=0)


def run(pipe: Pipeline, *, device: torch.device) -> Tensor:
    """Take the next batch: float32 [B, 3, H, W] with channels_last strides, DALI's own memory.

    StopIteration: the inputs are at their end. RuntimeError: an image cannot be decoded, and `pipe` is dead.
    """
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    (output,) = pipe.run(stream)
    return torch.from_dlpack(output.as_tensor()).permute(0, 3, 1, 2)


def _inputs(source: Inputs, *, dtypes: Sequence[Any], ndims: Sequence[int]) -> Any:
    # no_copy: a copy of the bytes would be made on the thread that trains
    return fn.external_source(source, num_outputs=len(dtypes), dtype=dtypes, ndim=ndims, no_copy=True)


def _decoding(placement: Placement) -> dict[str, Any]:
    # No rotation by EXIF: torchvision does none either, and the windows are meant for the image as stored.
    own = {"affine": False} if placement.decoder == "mixed" else {}  # the cores may be shared with other jobs
    return {"device": placement.decoder, "output_type": DALIImageType.RGB, "adjust_orientation": False, **own}


def _moved(images: Any, placement: Placement) -> Any:
    return images.gpu() if placement.operators == "gpu" and placement.decoder == "cpu" else images


def _normalise(images: Any, *, mirror: Any) -> Any:
    return fn.crop_mirror_normalize(
        images,
        mirror=mirror,
        mean=[255 * value for value in MEAN],
        std=[255 * value for value in STD],
        dtype=_FLOAT,
        output_layout="HWC",
    )
