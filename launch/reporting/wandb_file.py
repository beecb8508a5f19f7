"""Reads the .wandb file of a run: what W&B was told, without its server.

The file is a header of 7 bytes (":W&B", 0xBEE1 and the format's version, little-endian) and then a log in
LevelDB's format (https://github.com/google/leveldb/blob/main/doc/log_format.md): blocks of 32 KiB, in them
pieces of [checksum u32 | length u16 | type u8 | payload], no piece across a block's end. A record is one full
piece, or a first, middle ones and a last; it is a protobuf message `wandb_internal.Record`. Unlike LevelDB's,
the checksum is the plain CRC-32 of type and payload.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
HEADER = struct.Struct("<4sHB")
PIECE = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass(slots=True)
class WandbRun:
    """The content of one file; values as they were logged."""

    id: str = ""
    project: str = ""
    name: str = ""
    started: float = 0.0
    """Unix seconds."""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    """Metric, or pattern of metrics, to the metric on its horizontal axis."""
    exit_code: int | None = None
    """None while the run goes on, and where it was killed."""


def read(path: Path) -> WandbRun:
    """Returns the run in `path`. A tail torn off by a kill is left out.

    Raises:
        ValueError: not a .wandb file.
    """
    from wandb.proto import wandb_internal_pb2

    run = WandbRun()
    for payload in payloads(path.read_bytes(), name=str(path)):
        record = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]  # made at import
        record.ParseFromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.project, run.name = record.run.run_id, record.run.project, record.run.display_name
            run.started = record.run.start_time.seconds + record.run.start_time.nanos / 1e9
            run.config |= _items(record.run.config.update)
        elif kind == "config":
            run.config |= _items(record.config.update)
        elif kind == "history":
            run.history.append(_items(record.history.item))
        elif kind == "summary":
            run.summary |= _items(record.summary.update)
        elif kind == "metric":
            run.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    run.config.pop("_wandb", None)
    return run


def payloads(content: bytes, *, name: str = "the file") -> Iterator[bytes]:
    """Yields the records of a .wandb file as bytes, up to the first that is not whole.

    Raises:
        ValueError: `content` does not begin like a .wandb file; `name` is named.
    """
    if len(content) < HEADER.size or HEADER.unpack_from(content)[:2] != (b":W&B", 0xBEE1):
        raise ValueError(f"{name} is not a .wandb file: it does not begin with W&B's header")
    position, record = HEADER.size, b""
    while position + PIECE.size <= len(content):
        left = BLOCK - position % BLOCK
        if left < PIECE.size:  # too little for a piece: zeros up to the next block
            position += left
            continue
        checksum, length, kind = PIECE.unpack_from(content, position)
        begin = position + PIECE.size
        payload = content[begin : begin + length]
        if not FULL <= kind <= LAST or len(payload) < length:
            return
        if zlib.crc32(payload, zlib.crc32(bytes([kind]))) != checksum:
            return
        record = payload if kind in (FULL, FIRST) else record + payload
        if kind in (FULL, LAST):
            yield record
        position = begin + length


def find(run: Path) -> list[Path]:
    """The .wandb files of a run's folder, one for each attempt, oldest first."""
    return sorted((run / "wandb").glob("*run-*/*.wandb"), key=lambda p: p.parent.name.split("run-", 1)[1])


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
