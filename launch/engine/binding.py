"""The CPUs that a process keeps to: those near its GPU, where all of a machine's find enough of them."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SYSTEM = Path("/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """What a process has when it joins the others."""

    host: str
    own: frozenset[int]
    """CPUs that it may run on."""
    near: frozenset[int] | None
    """CPUs of its GPU's NUMA node; None without a GPU, and where the kernel does not tell."""


def take_seat(seats: Sequence[Seat], *, rank: int) -> int:
    """Binds this process as `share_out` says; returns how many processes, itself included, share its CPUs.

    Threads that it starts from here on are bound with it.

    Args:
        seats: of all ranks.
    """
    here = [number for number, seat in enumerate(seats) if seat.host == seats[rank].host]
    own = [seats[number].own for number in here]
    parts = share_out([seats[number] for number in here]) or own
    mine = parts[here.index(rank)]
    if mine != seats[rank].own:
        os.sched_setaffinity(0, mine)
    return sum(bool(part & mine) for part in parts)


def share_out(machine: Sequence[Seat]) -> list[frozenset[int]] | None:
    """Returns the CPUs near its GPU for each process of a machine, or None where all are to stay as they are.

    They stay where a launcher has given processes different CPUs, which is its decision; where a process is
    alone, which may want all; and where somebody's share of the CPUs would shrink, since decoding needs them
    more than it needs short ways: so if all GPUs hang on one of two NUMA nodes.
    """
    if len(machine) == 1 or len({seat.own for seat in machine}) > 1:
        return None
    parts = [seat.own & seat.near for seat in machine if seat.near is not None]
    share, count = len(machine[0].own) // len(machine), Counter(parts)
    if len(parts) < len(machine) or any(len(part) // count[part] < max(share, 1) for part in parts):
        return None
    return parts


def own_cpus() -> frozenset[int]:
    """Returns the CPUs that this process may run on; threads that it starts inherit them."""
    return frozenset(os.sched_getaffinity(0))


def pci_address(properties: Any) -> str | None:
    """Returns a GPU's place on the PCI bus as sysfs spells it, from what torch tells of the GPU."""
    names = ("pci_domain_id", "pci_bus_id", "pci_device_id")
    domain, bus, slot = (getattr(properties, name, None) for name in names)
    if domain is None or bus is None or slot is None:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.0"


def cpus_of(address: str | None, *, system: Path = _SYSTEM) -> frozenset[int] | None:
    """Returns the CPUs near a PCI device; None where the kernel knows no NUMA node of it."""
    try:
        device = system / "sys/bus/pci/devices" / str(address)
        if int((device / "numa_node").read_text()) < 0:
            return None
        return parse_cpus((device / "local_cpulist").read_text()) or None
    except (OSError, ValueError):
        return None


def parse_cpus(text: str) -> frozenset[int]:
    """Returns the numbers of a list as the kernel writes it: 0-19,40-59.

    ValueError: it is none.
    """
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def cpu_limit(*, system: Path = _SYSTEM) -> int | None:
    """Returns how many CPUs' worth of time this process's control groups grant, or None without a limit.

    Threads beyond that number are put to sleep, whatever CPUs they may run on.
    """
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        root = system / "sys/fs/cgroup"
        if controllers and "cpu" not in controllers.split(","):
            continue
        for base in [root] if not controllers else [root / controllers, root / "cpu"]:
            group = base / path.lstrip("/")
            limits += [_limit(folder) for folder in (group, *group.parents) if folder.is_relative_to(base)]
    known = [limit for limit in limits if limit is not None]
    return max(1, math.ceil(min(known))) if known else None


def _limit(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    return int(quota) / int(period) if quota.strip().isdigit() else None
