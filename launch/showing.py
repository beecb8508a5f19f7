"""What a preview is asked for. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from launch.arguments import read_arguments
from launch.naming import find_run
from pipeline.config import Augmentation


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewRequest:
    """Draw a page of augmented training images: each original, and what several epochs make of it."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder that holds train/ with one folder of images per class, or that folder itself."""

    recipe: str = "demo"
    """The recipe whose augmentation is shown."""

    out: Path = Path("preview.png")
    """Where the page goes; its suffix says in which format."""

    images: int = 6
    """Rows of the page: the first images that a run of this seed trains on."""

    epochs: int = 4
    """Columns of the page."""

    seed: int = 0
    """Of the run."""

    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.images < 1 or self.epochs < 1:
            raise ValueError(f"images is {self.images} and epochs is {self.epochs}, but both must be >= 1")


def read_request(argv: Sequence[str]) -> PreviewRequest | None:
    """Returns what `argv` asks for, its flags on top of the recipe's augmentation; None after `--help`.

    Raises:
        UsageError: an argument is misspelt or has no meaning.
    """
    name = _recipe(argv)
    default = PreviewRequest(recipe=name, augmentation=find_run(name).augmentation)
    return read_arguments(PreviewRequest, argv, program="launch/preview.py", default=default)


def _recipe(argv: Sequence[str]) -> str:
    for i, argument in enumerate(argv):
        if argument == "--recipe" and i + 1 < len(argv):
            return argv[i + 1]
        if argument.startswith("--recipe="):
            return argument.removeprefix("--recipe=")
    return "demo"
