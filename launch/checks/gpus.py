"""What there is of GPUs: on the bus, through the driver, and as torch sees them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NVIDIA, _DISPLAY = "0x10de", "0x03"  # PCI's numbers of the vendor and of the class of display controllers
_VERSION = re.compile(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that torch sees."""

    name: str
    capability: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpus:
    """A machine's GPUs and what is to drive them."""

    torch: str
    cuda: str | None
    """The CUDA that torch was built with; None for a build without."""
    built_for: tuple[str, ...]
    """sm_70 for machine code, compute_70 for PTX."""
    visible: tuple[Gpu, ...]
    on_bus: int
    """NVIDIA's GPUs among the PCI devices."""
    driver: str | None
    allotted: int
    """GPUs of this machine that the batch system gave the job."""
    hidden: bool
    """CUDA_VISIBLE_DEVICES hides all of them."""


def gather(*, root: Path = Path("/")) -> Gpus:
    """Looks; `root` is where the system's /sys and /proc lie. Creates no CUDA context."""
    import torch

    cuda = torch.version.cuda  # pyright: ignore[reportAttributeAccessIssue]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    allotted = os.environ.get("SLURM_GPUS_ON_NODE", "")
    return Gpus(
        torch=torch.__version__,
        cuda=cuda,
        built_for=tuple(torch.cuda.get_arch_list()),
        visible=tuple(
            Gpu(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i)) for i in range(count)
        ),
        on_bus=count_on_bus(root),
        driver=driver_version(root),
        allotted=int(allotted) if allotted.isdigit() else 0,
        hidden=shown is not None and shown.strip() in ("", "-1", "NoDevFiles"),
    )


def count_on_bus(root: Path) -> int:
    """Returns how many of NVIDIA's GPUs the PCI bus has, whether or not anything drives them."""
    devices = (root / "sys/bus/pci/devices").glob("*")
    return sum(
        read_line(device / "vendor") == _NVIDIA and read_line(device / "class").startswith(_DISPLAY)
        for device in devices
    )


def driver_version(root: Path) -> str | None:
    """Returns the version of NVIDIA's driver, or None without one."""
    if found := _VERSION.search(read_line(root / "proc/driver/nvidia/version")):
        return found[1]
    if (program := shutil.which("nvidia-smi")) is None:  # Windows' Linux has no such file
        return None
    words = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(told)
    return found[1] if found else None


def read_line(file: Path) -> str:
    """Returns a file's first line, empty where it cannot be read."""
    try:
        return file.read_text().partition("\n")[0].strip()
    except OSError:
        return ""
