"""How fast a machine feeds a training with its own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launch.checks.finding import Finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Images that all processes of a job read and decoded at the same time."""

    rates: Sequence[float]
    """Images per second of each process."""
    faults: Sequence[str]
    """Of processes that could not."""
    wanted: float | None
    """Images per second that a V100 would train by estimate; None on a CPU, or where nothing is known."""


def judge(reading: Reading) -> Finding:
    """Returns what is to be said of the images' way from the disk to the device."""
    if reading.faults:
        return Finding("error", f"the images cannot be read: {reading.faults[0]}")
    slowest, total = min(reading.rates), sum(reading.rates)
    told = f"{total:.0f} images/s read, decoded and augmented; the slowest process {slowest:.0f}"
    if reading.wanted is not None and slowest < reading.wanted:
        return Finding(
            "warning",
            f"{told}, less than the {reading.wanted:.0f} that a V100 trains by estimate: it would wait. "
            "More CPUs, the data on a local disk, or smaller images help: docs/shards.md",
            "python launch/pack.py DIR OUT --short-side 320",
        )
    return Finding("ok", told)
