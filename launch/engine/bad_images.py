"""Images that could not be shown: collected over all ranks, and counted against what is allowed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch.distributed as dist

from launch.engine.ports import BadImage

_LISTED = 20


@dataclass(frozen=True, order=True, slots=True)
class Bad:
    """Its split, its position there, its file, and its fault, which follows the file's name."""

    split: str
    id: int
    file: str
    fault: str

    def __str__(self) -> str:
        return f"{self.file} {self.fault}"


def gather_bad(found: Iterable[BadImage], *, split: str, group: dist.ProcessGroup | None) -> tuple[Bad, ...]:
    """Returns what all ranks found, each image once, sorted; every rank must call this."""
    everybody: list[list[Bad]] = [[] for _ in range(dist.get_world_size())]
    own = [Bad(split, bad.id, bad.file, bad.fault) for bad in found]
    dist.all_gather_object(everybody, own, group=group)
    return tuple(sorted({bad.id: bad for rank in everybody for bad in rank}.values()))


def most_bad(share: float, *, images: int) -> int:
    """Returns how many of `images` may prove bad: a share of them, but one in a set however small.

    A share of 0 allows none.
    """
    return max(1, int(share * images)) if share else 0


def check_bad(bad: Sequence[Bad], *, share: float, images: int) -> None:
    """Raises a ValueError that lists them when more than `share` of the training images are bad."""
    bad = [b for b in bad if b.split == "train"]
    most = most_bad(share, images=images)
    if len(bad) <= most:
        return
    more = f"; and {len(bad) - _LISTED} more, all in metrics.jsonl" if len(bad) > _LISTED else ""
    raise ValueError(
        f"{len(bad)} of {images} training images have proved bad, more than the {most} that --max-bad "
        f"{share:g} allows: {'; '.join(map(str, bad[:_LISTED]))}{more}. Put intact copies in their place, or "
        f"allow more: --max-bad {float(f'{2 * len(bad) / images:.1g}'):g}"
    )
