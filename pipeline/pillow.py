"""Evaluation images by Pillow: a second path from file to batch, apart from DALI's decoder and windows.

It confirms an accuracy and needs no DALI. What it does is torchvision's Resize and CenterCrop
(https://github.com/pytorch/vision, torchvision/transforms/functional.py), step by step.
"""

import math
import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline.batch import MEAN, STD, BadImage, Batch, bad_image, labels_of
from pipeline.config import Evaluation, Feeding
from pipeline.eight_bits import eight_bits
from pipeline.index import Index
from pipeline.plans import eval_plans
from pipeline.reading import SoundReader
from pipeline.storage import read_ahead

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def eval_batches(
    index: Index,
    *,
    evaluation: Evaluation,
    feeding: Feeding,
    rank: int,
    world_size: int,
    device: torch.device,
    image_size: int,
    processes: int = 1,
) -> Generator[Batch]:
    """Yield every image once over all ranks, in the batches of `pipeline.loader.eval_batches`.

    `feeding.workers` threads decode, for 0 as many as this process's share of the cores that `processes`
    share; `feeding.decode` is DALI's and has no meaning here. Closing the generator ends the threads. A bad
    image is black.
    """
    reader = SoundReader(index)
    coming: deque[NDArray[np.int64]] = deque()

    def wanted_ids() -> Iterator[list[int]]:
        plans = eval_plans(
            index, evaluation=evaluation, rank=rank, world_size=world_size, image_size=image_size
        )
        for plan in plans:
            coming.append(plan.ids)
            yield plan.ids.tolist()

    def show(i: int) -> tuple[NDArray[np.uint8], BadImage | None]:
        encoded = reader(i)
        if isinstance(encoded, str):
            return black, bad_image(index, i, encoded)
        try:
            return central_crop(encoded, image_size=image_size, evaluation=evaluation), None
        except Exception:  # a damaged file raises many kinds
            return black, bad_image(index, i, "cannot be decoded")

    black = np.zeros((image_size, image_size, 3), np.uint8)
    threads = feeding.workers or max(1, len(os.sched_getaffinity(0)) // processes)
    shown = read_ahead(wanted_ids(), depth=feeding.ahead, threads=threads, read=show)
    with closing(shown), closing(reader):
        for rows in shown:
            ids = coming.popleft()
            labels = labels_of(index, ids, device=device)
            yield Batch(
                images=normalised(torch.from_numpy(np.stack([crop for crop, _ in rows])).to(device)),
                labels=labels,
                labels_b=labels,
                weight=torch.ones(len(labels), device=device),
                ids=ids,
                bad=tuple(bad for _, bad in rows if bad is not None),
            )


def central_crop(encoded: NDArray[np.uint8], *, image_size: int, evaluation: Evaluation) -> NDArray[np.uint8]:
    """Decode bytes [N] to the RGB crop [image_size, image_size, 3] that an evaluation shows.

    Resize of the shorter side to floor(image_size / crop_ratio), antialiased, the longer side cut to
    an integer; then CenterCrop. The image stays as it is stored, without EXIF rotation.

    Raises what Pillow does for bytes that are no intact image.
    """
    with Image.open(BytesIO(encoded.data)) as opened:
        opened.verify()  # the checksums of a PNG, which decoding alone does not read to the end
    with Image.open(BytesIO(encoded.data)) as opened:
        image = eight_bits(opened).convert("RGB")
    shorter = math.floor(image_size / evaluation.crop_ratio)
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    left, top = round((width - image_size) / 2), round((height - image_size) / 2)
    image = image.resize((width, height), _FILTERS[evaluation.interpolation])
    return np.asarray(image.crop((left, top, left + image_size, top + image_size)))


def normalised(pixels: Tensor) -> Tensor:
    """Returns uint8 [B, H, W, 3] as float32 [B, 3, H, W] with channels_last strides, normalised."""
    mean, std = pixels.new_tensor(MEAN, dtype=torch.float32), pixels.new_tensor(STD, dtype=torch.float32)
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
