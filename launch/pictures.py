"""The page of a run's own first training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from launch.previewing import draw_page
from launch.session import Session
from launch.showing import PreviewRequest
from pipeline import order

_IMAGES = 6


def draw_pictures(session: Session, file: Path) -> str:
    """Draws the first images that the run trains on, in its first epochs, to `file`; returns the caption.

    Only reads: what is drawn follows from seed, epoch and image.

    Raises:
        ValueError: one of them is damaged.
        OSError: the file cannot be written.
    """
    index, run = session.data.train, session.run
    request = PreviewRequest(
        folder=index.root, recipe=run.recipe, seed=run.seed, augmentation=run.augmentation
    )
    first = np.arange(min(_IMAGES, len(index)))
    ids = order.at(first, seed=run.seed, count=len(index))[1]
    draw_page(index, ids, request).save(file)
    return f"{len(ids)} training images and what epochs 0 to {request.epochs - 1} make of them"
