"""The embedded demo set: JPEGs of drawn shapes in class folders, made once in a cache folder.

The class shows in the shape alone. Sizes, labels and pixels are the same for a seed, wherever they are drawn.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.cache import cache_folder, lock
from pipeline.drawing import SHAPES, picture, picture_key
from pipeline.hashing import uniforms

VERSION = 2
"""Goes up with every change to what is drawn, so that a cache of older pictures is not taken for this one."""

SPLITS = ("train", "val")
MARKER = ".made.json"
FORMAT = 16
"""Slot of a picture's key, apart from those of `drawing`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a set holds: `train` and `val` images in all, of the first `classes` of `SHAPES`."""

    version: int = VERSION
    seed: int = 0
    classes: int = 10
    train: int = 4000
    val: int = 600

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= len(SHAPES):
            raise ValueError(f"classes is {self.classes}, but 2 to {len(SHAPES)} shapes can be drawn")
        if min(self.train, self.val) < self.classes:
            raise ValueError(f"train is {self.train} and val {self.val}: each class needs an image in both")

    def images(self, split: str) -> Iterator[tuple[str, int]]:
        """Yields the class and the number of each image of a split; classes take turns."""
        names = list(SHAPES)[: self.classes]
        for image in range(self.train if split == "train" else self.val):
            yield names[image % self.classes], image


def make(
    folder: Path,
    *,
    seed: int = 0,
    classes: int = 10,
    train: int = 4000,
    val: int = 600,
    replace: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Draws a set into `folder` as train|val/CLASS/NUMBER.jpg, unless it is there, and returns the folder.

    Processes that call this at once are safe: one draws, aside, and renames; the others wait for it. A set
    that was left half-made, or has lost files since, is drawn again.

    Args:
        train, val: images in all, shared evenly by the classes.
        replace: put the set in place of anything that is at `folder`.
        say: told what is being done when it takes seconds.

    Raises:
        ValueError: something else is at `folder`, or a number is out of range.
    """
    contents = Contents(seed=seed, classes=classes, train=train, val=val)
    folder = folder.absolute()
    if is_finished(folder, contents=contents):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for another process, which makes {folder}"
    with lock(folder.with_name(f".{folder.name}.lock"), say=say, waiting=waiting):
        if is_finished(folder, contents=contents):
            return folder
        if not (replace or is_ours(folder, contents=contents)):
            raise ValueError(
                f"{folder} holds something other than the wanted set ({contents}): "
                "remove it or name another folder"
            )
        aside = folder.with_name(f".{folder.name}.making")
        shutil.rmtree(aside, ignore_errors=True)
        say(f"drawing the demo set, {train + val} images, into {folder}")
        fill(aside, contents=contents)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    return folder


def demo_folder(*, say: Callable[[str], None] = lambda line: None) -> Path:
    """Returns the demo set's folder in $REXNET_CACHE or ~/.cache/rexnet; draws the set when it is missing.

    Raises:
        ValueError: the cache cannot be written.
    """
    return make(cache_folder() / f"demo-{VERSION}", replace=True, say=say)


def fill(folder: Path, *, contents: Contents) -> None:
    """Writes all images of a set, and last the marker that says so."""

    def write(split: str, shape: str, image: int) -> None:
        pixels, coding = draw(contents.seed, split=split, shape=shape, image=image)
        path = folder / split / shape / f"{image:05d}.jpg"
        pixels.save(path, quality=coding["quality"], subsampling=coding["subsampling"])

    jobs = [(split, shape, image) for split in SPLITS for shape, image in contents.images(split)]
    for split, shape, _ in jobs:
        (folder / split / shape).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        for _ in pool.map(write, *zip(*jobs, strict=True)):
            pass
    (folder / MARKER).write_text(json.dumps(asdict(contents)))


def draw(seed: int, *, split: str, shape: str, image: int) -> tuple[Image.Image, dict[str, int]]:
    """Returns one picture, RGB or (one in 16) grayscale, and how it is coded as a JPEG."""
    key = picture_key(seed=seed, split=SPLITS.index(split), label=list(SHAPES).index(shape), image=image)
    size, aspect, upright, gray, quality, subsampling = uniforms(key, FORMAT, np.arange(6)).tolist()
    shorter = 48 + int(60 * size)
    longer = min(160, int(shorter * (1 + 0.7 * aspect**2)))
    height, width = (longer, shorter) if upright < 0.5 else (shorter, longer)
    pixels = Image.fromarray(picture(shape, key=key, height=height, width=width))
    coding = {"quality": 75 + int(21 * quality), "subsampling": 0 if subsampling < 0.5 else 2}
    return pixels.convert("L") if gray < 1 / 16 else pixels, coding


def is_finished(folder: Path, *, contents: Contents) -> bool:
    """Whether the folder holds this set, whole: caches are swept of old files one by one."""
    try:
        made = json.loads((folder / MARKER).read_text())
        held = sum(1 for split in SPLITS for _ in (folder / split).glob("*/*.jpg"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return False
    return made == asdict(contents) and held == contents.train + contents.val


def is_ours(folder: Path, *, contents: Contents) -> bool:
    """Whether drawing here loses nothing: no such folder, an empty one, or what is left of this set."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    marker = folder / MARKER
    if marker.exists():
        return json.loads(marker.read_text()) == asdict(contents)
    return not any(folder.iterdir())
