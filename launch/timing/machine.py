"""The machine that a figure is of."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from pathlib import Path

import torch


def describe_machine(
    versions: dict[str, str], *, processor: str
) -> dict[str, str | int | float | dict[str, str]]:
    """Returns what is given with cores, memory, GPUs and the day. No names of hosts or users."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": ", ".join(gpus) or "none",
        "python": platform.python_version(),
        "versions": versions,
        "date": date.today().isoformat(),
    }


def peak_memory_mib() -> float:
    """Returns the most memory that this process has held, in MiB: on its GPU, or resident without one."""
    status = Path("/proc/self/status").read_text()
    resident = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    host = int(resident[1]) / 1024 if resident else 0.0
    return host if not torch.cuda.is_available() else torch.cuda.max_memory_allocated() / 2**20


def machine_line(machine: dict[str, str | int | float | dict[str, str]]) -> str:
    """Returns it as one line for below a table."""
    versions = machine["versions"]
    assert isinstance(versions, dict)
    known = ", ".join(
        f"{name} {versions[name]}" for name in ("torch", "nvidia-dali-cuda120") if name in versions
    )
    gpus = "" if machine["gpus"] == "none" else f", {machine['gpus']}"
    return (
        f"{machine['processor']}, {machine['cores']} cores{gpus}; Python {machine['python']}, {known}; "
        f"{machine['date']}"
    )
