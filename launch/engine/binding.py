"""Which CPUs lie near a GPU, as the kernel tells it, and how many this process may use."""

import math
import os
from pathlib import Path
from typing import Any

import torch

_SYSTEM = Path("/")


def own_cpus() -> frozenset[int]:
    """Returns the CPUs that this process may run on; threads that it starts inherit them."""
    return frozenset(os.sched_getaffinity(0))


def near_cpus(device: torch.device, *, system: Path = _SYSTEM) -> frozenset[int] | None:
    """Returns the CPUs of the NUMA node that a GPU is attached to; None for a CPU, and where none is told."""
    if device.type != "cuda":
        return None
    return cpus_of(pci_address(torch.cuda.get_device_properties(device)), system=system)


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
