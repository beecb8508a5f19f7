"""The reader of W&B's files."""

import struct
import zlib
from pathlib import Path

import pytest

from launch.reporting import wandb_file


def log_of(*records: bytes) -> bytes:
    """The records in the format of a .wandb file."""
    content = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for record in records:
        rest, first = record, True
        while first or rest:
            left = 32768 - len(content) % 32768
            if left < 7:
                content += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            content += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
            first = False
    return bytes(content)


class TestWandbFile:
    RECORDS = (b"a" * 10, b"b" * 40_000, b"", b"c" * 25_486, b"d" * 100_000, b"e")

    def test_reads_records_over_blocks(self) -> None:
        assert tuple(wandb_file.payloads(log_of(*self.RECORDS))) == self.RECORDS

    def test_a_torn_tail_is_left_out(self) -> None:
        whole = log_of(*self.RECORDS)
        for end in range(7, len(whole), 613):
            found = tuple(wandb_file.payloads(whole[:end]))
            assert found == self.RECORDS[: len(found)]
            assert tuple(wandb_file.payloads(whole[:end] + bytes(5000))) == found  # a file grown, not written

    def test_a_damaged_record_ends_the_reading(self) -> None:
        damaged = bytearray(log_of(*self.RECORDS))
        damaged[100] ^= 1
        assert tuple(wandb_file.payloads(bytes(damaged))) == self.RECORDS[:1]

    @pytest.mark.parametrize("content", [b"", b":W&", b"PK\3\4 something else"])
    def test_another_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.wandb").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.wandb is not a \.wandb file"):
            wandb_file.read(tmp_path / "x.wandb")
