"""What an index holds, in a few lines for a person."""

import os
from collections.abc import Callable

import numpy as np

from pipeline.header import FORMATS
from pipeline.index import Index
from pipeline.reading import SoundReader
from pipeline.walk import ignored_text

_NAMED = 5
_UNITS = ("B", "kB", "MB", "GB", "TB")


def summary(index: Index) -> list[str]:
    """Lines of a name and a text: images, formats, channels, sizes, orientations, what was left out."""
    per_class = np.bincount(index.labels, minlength=len(index.classes))
    held = per_class[per_class > 0]
    classes = f"{len(held)} of {len(per_class)}" if len(held) < len(per_class) else len(held)
    rows = {"images": f"{len(index)} in {classes} classes, {_spread(held)} in a class"}
    known = index.heights > 0
    if index.formats is not None:
        rows["formats"] = _shares(index.formats[known], names=dict(enumerate(FORMATS)))
    if index.channels is not None:
        rows["channels"] = _shares(index.channels[known])
    rows["height"] = f"{_spread(index.heights[known])} pixels"
    rows["width"] = f"{_spread(index.widths[known])} pixels"
    total = as_bytes(int(index.sizes.sum(dtype=np.int64)))
    rows["file size"] = f"{_spread(index.sizes, shown=as_bytes)}, {total} in all"
    if index.orientations is not None:
        rows["orientation"] = _orientation(index.orientations)
    if len(index.unreadable):
        rows["unreadable"] = _unreadable(index)
    rows["left out"] = ignored_text(index.ignored_kinds) if index.ignored else "nothing"
    return [row(name, text) for name, text in rows.items()]


def row(name: str, text: str) -> str:
    """One line."""
    return f"  {name:<12} {text}"


def as_bytes(count: float) -> str:
    """110.3 kB for 110300."""
    exponent = 0
    while count >= 1000 and exponent < len(_UNITS) - 1:
        count, exponent = count / 1000, exponent + 1
    return f"{count:.1f} {_UNITS[exponent]}" if exponent else f"{count:.0f} B"


def _spread(values: np.ndarray, *, shown: Callable[[float], str] = "{:.0f}".format) -> str:
    low, middle, high = values.min(), np.median(values), values.max()
    return f"min {shown(low)}, median {shown(middle)}, max {shown(high)}"


def _unreadable(index: Index) -> str:
    """How many files have no readable header, and the first ones by name with their faults."""
    reader, bad = SoundReader(index), index.unreadable.tolist()
    named = [f"{os.fsdecode(index.name(i))} {reader(i)}" for i in bad[:_NAMED]]
    more = f"; ... ({len(bad)} in all)" if len(bad) > _NAMED else ""
    return f"{len(bad)}, in whose places others are shown: {'; '.join(named)}{more}"


def _shares(codes: np.ndarray, *, names: dict[int, str] | None = None) -> str:
    """How often each code occurs, the most frequent first."""
    kinds, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    named = names or {}
    return ", ".join(f"{named.get(int(kinds[i]), kinds[i])}: {counts[i]}" for i in order)


def _orientation(tags: np.ndarray) -> str:
    if not tags.any():
        return "no EXIF tags"
    turned = tags[tags > 1]
    text = f"{np.count_nonzero(tags)} with an EXIF tag, {len(turned)} of them for a turned image"
    return f"{text} ({_shares(turned)}); it is not applied" if len(turned) else text
