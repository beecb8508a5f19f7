"""Training images of one's choice: any image in any epoch, as a run shows it then."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import erasing, graph
from pipeline.config import Augmentation
from pipeline.index import Index
from pipeline.plans import Plan, sample_plan
from pipeline.reading import SoundReader

_CPU = torch.device("cpu")


def show(
    index: Index,
    *,
    augmentation: Augmentation,
    seed: int,
    epochs: NDArray[np.int64],
    ids: NDArray[np.int64],
    image_size: int,
) -> tuple[Plan, Tensor]:
    """What was drawn for images `ids` [B] in `epochs` [B], and the images: float32 [B, 3, S, S], normalised.

    All that is done to an image by itself, which is everything but mixup and cutmix. Decoded on the CPU.

    ValueError: an image is damaged.
    """
    plan = sample_plan(
        index, augmentation=augmentation, seed=seed, epochs=epochs, ids=ids, image_size=image_size
    )
    read = SoundReader(index)
    encoded = []
    for i in ids.tolist():
        found = read(i)
        if isinstance(found, str):
            raise ValueError(f"the image {index.path(i)} {found}")
        encoded.append(found)
    pipe = graph.build(
        partial(graph.train_graph, rand_ops=augmentation.rand_ops),
        iter([(encoded, *plan.inputs)]),
        placement=graph.place(_CPU, decode="cpu"),
        batch=len(ids),
        threads=1,
    )
    images = graph.run(pipe, device=_CPU)
    if len(plan.erased):
        erasing.erase(images, plan.erased, table=erasing.noise(_CPU))
    return plan, images


def pixels(images: Tensor) -> NDArray[np.uint8]:
    """Undo the normalisation of images [B, 3, H, W]: uint8 [B, H, W, 3], cut to black and white."""
    levels = images.permute(0, 2, 3, 1).numpy() * np.array(graph.STD) + np.array(graph.MEAN)
    return np.rint(255 * levels).clip(0, 255).astype(np.uint8)
