"""What a data set lacks is said, where a run would go on without it."""

from pathlib import Path

import numpy as np

from pipeline.index import Index
from pipeline.missing import what_is_missing

WNIDS = tuple(f"n{i:08d}" for i in range(1000))


def split(name: str, images: int, classes: tuple[str, ...], *, of: int | None = None) -> Index:
    """Images of the first `of` classes, by turns."""
    nothing = np.zeros(images, np.int8)
    return Index(
        root=Path("/data") / name,
        classes=classes,
        identity="",
        labels=np.arange(images) % (of or len(classes)),
        heights=nothing,
        widths=nothing,
        sizes=nothing,
        ignored=0,
        names=nothing,
        ends=nothing,
    )


def test_nothing_is_said_of_what_is_whole() -> None:
    assert what_is_missing(split("train", 1_281_167, WNIDS), split("val", 50_000, WNIDS)) == []
    assert what_is_missing(split("train", 20, ("a", "b")), split("val", 4, ("a", "b"))) == []
    assert what_is_missing(split("train", 200, WNIDS[:100]), split("val", 100, WNIDS[:100])) == []


def test_imagenet_with_999_classes() -> None:
    (line,) = what_is_missing(split("train", 1_279_867, WNIDS[1:]), split("val", 49_950, WNIDS[1:]))
    assert "999 of 1000 classes, 1279867 of 1281167 training images, 49950 of 50000 validation" in line
    assert "no official figure" in line


def test_a_class_without_validation_images() -> None:
    (line,) = what_is_missing(split("train", 9, ("a", "b", "c")), split("val", 4, ("a", "b", "c"), of=2))
    assert line.startswith("/data/val has no images of 1 of the 3 classes: c; the accuracy will be over")
