"""Words for ImageNet-1k's classes, whose folders are named by numbers of WordNet. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

_LIST = Path(__file__).resolve().parent / "imagenet_classes.txt"


def imagenet_words() -> dict[str, str]:
    """Returns the word of each class by its folder's name, in the order of a network's outputs.

    >>> imagenet_words()["n02099601"]
    'golden retriever'
    """
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if not line.startswith("#"))
    return {folder: word for folder, _, word in pairs}


def described(names: Sequence[str] | None, *, classes: int, say: Callable[[str], None]) -> tuple[str, ...]:
    """Returns the names of a network's classes for people: numbers of ImageNet-1k's get their words.

    Args:
        names: those that are known; None for a network whose weights do not tell them. With 1000 outputs it
            is taken for one of ImageNet-1k, which is said; else its classes are numbered.
    """
    words = imagenet_words()
    if names is None and classes == len(words):
        say("the weights name no classes; of 1000, the names are taken to be those of ImageNet-1k")
        names = [*words]
    if names is None:
        say("the weights name no classes; they are numbered")
        return tuple(f"class {i}" for i in range(classes))
    return tuple(f"{name} {words[name]}" if name in words else name for name in names)
