"""Whether all processes train the same run, which each has read from its own command, files and file system.

Processes that do not would draw other images, or wait for each other where the others do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.distributed as dist

from launch.config import Run, identity_fields, to_plain
from launch.data import Data
from launch.engine.distributed import World
from launch.engine.faults import Fault
from launch.engine.identity import differences
from launch.engine.step import choose_precision


def findings(run: Run, data: Data) -> dict[str, Any]:
    """Returns what must be the same in every process: what makes the run, and what says when they meet.

    Paths may differ, as those of copies on each machine's own disk do.
    """
    plain = to_plain(run)
    return {
        **identity_fields(run),
        "keeping": plain["keeping"],
        "numerics": plain["numerics"],
        "test_size": run.test_size,
        "max_bad": run.feeding.max_bad,
        "data": {
            "train_images": len(data.train),
            "val_images": len(data.val),
            "train": data.train.identity,
            "val": data.val.identity,
        },
    }


def require_unison(run: Run, data: Data, *, resolved: Run, begun: bool, folder: Path, world: World) -> None:
    """Holds what every rank has found against what rank 0 has.

    Args:
        resolved: the run with what its first start found out.
        begun: whether this process sees an earlier start of the run in `folder`.

    Raises:
        ValueError: some rank would train another run, or in another precision, whose gradients have another
            scale; on all ranks, in the same words.
        Fault: some rank sees no earlier start, where others do; likewise.
    """
    seen: list[Any] = [None] * world.place.world_size
    precision = choose_precision(resolved.numerics, world.device)
    dist.all_gather_object(seen, (findings(run, data), precision, begun), group=world.host_group)
    for rank, (found, precision, _) in enumerate(seen):
        if what := differences(seen[0][0], found):
            raise ValueError(
                f"rank {rank} on {world.hosts[rank]} would train another run than rank 0 on "
                f"{world.hosts[0]}; what differs: {what}. All of them need the same flags and the same files"
            )
        if precision != seen[0][1]:
            raise ValueError(
                f"the GPU of rank {rank} on {world.hosts[rank]} is for {precision}, that of rank 0 on "
                f"{world.hosts[0]} for {seen[0][1]}: take one --precision for both, fp16 or fp32"
            )
    blind = [f"{rank} on {world.hosts[rank]}" for rank, (*_, begun) in enumerate(seen) if not begun]
    if 0 < len(blind) < len(seen):
        raise Fault(
            f"rank {blind[0]} sees no run in {folder}, where others do: its file system shows an old state, "
            "then start the same command again; or the folder is not shared, then take an --out that is"
        )
