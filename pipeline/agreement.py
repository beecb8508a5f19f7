"""What a packing is to become: agreed once, so that an interrupted one goes on as it began."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.index import Index
from pipeline.resizing import Resizing
from pipeline.samples import Source, sample_of
from pipeline.shard import packed
from pipeline.shards import PLAN
from pipeline.summary import as_bytes
from pipeline.tarring import BLOCK, END

_TRIED = 32  # images that are made smaller to tell how small all will be
_MARGIN = 1.1  # of room, where the sizes are estimated


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """How to pack."""

    resizing: Resizing | None = None
    """None packs the bytes as they are."""
    shard_size: int = 500_000_000
    """Bytes, about; the last shard is smaller."""
    processes: int = 1
    command: str = "launch/pack.py"
    """What to type to make a shard again, for messages."""

    def __post_init__(self) -> None:
        if self.shard_size < 1 or self.processes < 1:
            raise ValueError(
                f"shard-size is {self.shard_size}, processes is {self.processes}, but both must be > 0"
            )


def shard_bounds(sizes: np.ndarray, *, shard_size: int) -> list[int]:
    """Where each shard begins, and the end: `sizes` float64 [N], expected bytes of each image."""
    ends = np.cumsum(sizes + 3 * BLOCK)  # two headers, and the label
    cuts = np.searchsorted(ends, np.arange(shard_size, ends[-1], shard_size))
    return [0, *np.unique(cuts[(cuts > 0) & (cuts < len(sizes))]).tolist(), len(sizes)]


def shard_name(number: int) -> str:
    """The file of shard `number` of a split."""
    return f"shard-{number:05d}.tar"


def agree(out: Path, source: Index, *, packing: Packing) -> float:
    """Notes what `out` will hold, or checks it; returns packed bytes per byte of the source."""
    resizing = packing.resizing and asdict(packing.resizing)
    plan = {"source": source.identity, "resizing": resizing, "shard_size": packing.shard_size}
    file = out / PLAN
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        foreign = [path.name for path in out.iterdir() if not path.name.startswith(".")]
        if foreign:
            raise ValueError(
                f"{out} holds other things already ({sorted(foreign)[0]}); name a new folder"
            ) from None
        found = plan | {"ratio": _ratio(source, packing.resizing)}
        part = file.with_name(f".{PLAN}.part")
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(file)
    differing = [
        f"{name} {found.get(name)} -> {plan[name]}" for name in plan if found.get(name) != plan[name]
    ]
    if differing:
        raise ValueError(
            f"{out} holds another packing; what differs: {', '.join(differing)}. "
            "Name a new folder, or remove that one"
        )
    return found["ratio"]


def _ratio(source: Index, resizing: Resizing | None) -> float:
    """How much smaller some images become that lie evenly over the source."""
    if resizing is None:
        return 1.0
    tried = np.unique(np.linspace(0, len(source) - 1, _TRIED).astype(int))
    with Source() as opened:
        after = [
            len(packed(sample_of(source, i), source=opened, resizing=resizing)[0]) for i in tried.tolist()
        ]
    return sum(after) / float(source.sizes[tried].sum())


def check_room(out: Path, source: Index, *, bounds: Sequence[int], ratio: float) -> None:
    """Raises ValueError unless `out` has room for the shards that are not there yet."""
    missing = 0.0
    for number, (first, stop) in enumerate(pairwise(bounds)):
        if not (out / shard_name(number)).exists():
            exact = source.sizes[first:stop] * ratio
            missing += float(exact.sum()) * (1.0 if ratio == 1 else _MARGIN)
            missing += 4 * BLOCK * (stop - first) + len(END)
    free = shutil.disk_usage(out).free
    if missing > free:
        raise ValueError(
            f"{out} has {as_bytes(free)} free, but packing needs about {as_bytes(missing)}; make room, "
            "name a folder elsewhere, or make the images smaller: --short-side 320"
        )
