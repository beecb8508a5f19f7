"""Packing a split: its images into tar files of about one size, and an index of where each image lies."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import mapped
from pipeline.agreement import Packing, agree, check_room, shard_bounds, shard_name
from pipeline.cache import lock
from pipeline.catalog import identity
from pipeline.crew import make_all
from pipeline.index import Index
from pipeline.samples import HEADERS, sample_of
from pipeline.shard import Job, Made, record_of
from pipeline.shards import FORMAT, INDEX
from pipeline.summary import as_bytes
from pipeline.tarring import member_keys


def pack(source: Index, out: Path, *, packing: Packing, say: Callable[[str], None]) -> None:
    """Packs `source` into the folder `out`; what an earlier attempt has finished is kept where it is intact.

    Whoever opens `out` sees it unfinished or whole. A finished `out` is checked, and mended where needed.

    Raises ValueError for an `out` that holds something else or has no room, and for unreadable files.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ValueError(f"the folder {out} cannot be made: {fault.strerror}; name another") from None
    with lock(out / ".lock", say=say, waiting=f"waiting for another process that packs {out}"):
        ratio = agree(out, source, packing=packing)
        for part in out.glob("*shard*.part"):  # halves of shards, of their records and of the index
            part.unlink()
        bounds = shard_bounds(source.sizes * ratio, shard_size=packing.shard_size)
        jobs = _jobs(source, out, bounds=bounds, packing=packing)
        check_room(out, source, bounds=bounds, ratio=ratio)
        try:
            made = make_all(
                jobs,
                shards=len(bounds) - 1,
                images=len(source),
                processes=packing.processes,
                where=out,
                say=say,
            )
        except OSError as fault:
            if isinstance(fault, FileNotFoundError):
                raise
            raise ValueError(
                f"packing {out} failed: {fault.strerror}; the same command goes on where this ended"
            ) from fault
        _finish(out, source, made=made, packing=packing, say=say)


def _jobs(source: Index, out: Path, *, bounds: Sequence[int], packing: Packing) -> Iterator[Job]:
    keys = member_keys(source.name(i) for i in range(len(source)))
    known = _known(out)
    for number, (first, stop) in enumerate(pairwise(bounds)):
        samples = tuple(sample_of(source, i, key=next(keys)) for i in range(first, stop))
        file = out / shard_name(number)
        yield Job(
            file=file, samples=samples, resizing=packing.resizing, number=number, known=known.get(file.name)
        )


def _known(out: Path) -> dict[str, Made]:
    """What a finished index says of its shards, by name."""
    try:
        about, arrays = mapped.read(out / INDEX)
    except (FileNotFoundError, ValueError):
        return {}
    if about.get("format") != FORMAT:
        return {}
    known, first = {}, 0
    for shard in about["shards"]:
        stop = first + shard["images"]
        columns = {name: arrays[name][first:stop].astype(np.int64) for name in ("offsets", "sizes", *HEADERS)}
        known[shard["name"]] = Made(shard["bytes"], shard["sha256"], columns, shard["kept"])
        first = stop
    return known


def _finish(
    out: Path, source: Index, *, made: Sequence[Made], packing: Packing, say: Callable[[str], None]
) -> None:
    columns = {name: np.concatenate([each.columns[name] for each in made]) for name in made[0].columns}
    types = {name: kind for name, (_, kind) in HEADERS.items()}
    arrays = {name: column.astype(types.get(name, np.int64)) for name, column in columns.items()}
    arrays |= {"labels": source.labels, "names": source.names, "ends": source.ends}
    shards = [
        {
            "name": shard_name(number),
            "bytes": each.bytes,
            "sha256": each.sha256,
            "images": len(each.columns["sizes"]),
            "kept": each.kept,
        }
        for number, each in enumerate(made)
    ]
    about: dict[str, Any] = {
        "format": FORMAT,
        "identity": identity(names=source.names, sizes=arrays["sizes"], labels=source.labels),
        "ignored": source.ignored,
        "ignored_kinds": dict(source.ignored_kinds),
        "classes": source.classes,
        "command": packing.command,
        "shards": shards,
    }
    mapped.write(out / INDEX, about=about, arrays=arrays)
    for number in range(len(made)):
        record_of(out / shard_name(number)).unlink(missing_ok=True)
    for line in [line for each in made for line in each.kept]:
        say(f"{line}: packed as it is, since it cannot be decoded")
    size = sum(each.bytes for each in made)
    count = f"{len(made)} shard{'s' * (len(made) != 1)}"
    say(f"{out}: {len(source)} images in {count}, {as_bytes(size)}, every checksum holds")
