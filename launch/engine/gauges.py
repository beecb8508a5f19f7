"""What a device tells of itself: memory held and energy used. Nothing here waits for the device."""

from contextlib import suppress
from typing import Any

import torch

UNKNOWN = float("nan")
"""A figure that the device does not give; sums over ranks pass it on."""


class HostGauges:
    """Of a CPU, which tells neither."""

    def memory(self) -> float:
        """Returns `UNKNOWN`."""
        return UNKNOWN

    def energy(self) -> float:
        """Returns `UNKNOWN`."""
        return UNKNOWN


class GpuGauges:
    """Of a GPU. Its energy counter is NVML's; without the package nvidia-ml-py, or where NVML refuses, it is
    unknown.

    NVML counts all that the GPU did, whoever asked for it, from Volta on
    (nvmlDeviceGetTotalEnergyConsumption, https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html).
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._nvml, self._handle = _open_nvml(device)
        self._counted = self._count()

    def memory(self) -> float:
        """Returns the most GiB that torch's allocator has held so far."""
        return torch.cuda.max_memory_reserved(self.device) / 2**30

    def energy(self) -> float:
        """Returns the joules used since the last call, or since the beginning."""
        before, self._counted = self._counted, self._count()
        return self._counted - before

    def _count(self) -> float:
        if self._nvml is not None:
            with suppress(self._nvml.NVMLError):
                return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
        return UNKNOWN


def _open_nvml(device: torch.device) -> tuple[Any, Any]:
    """Returns the module of NVML's bindings and the device's handle, or None twice."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        # By its UUID: CUDA_VISIBLE_DEVICES renumbers CUDA's devices, not NVML's.
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except (pynvml.NVMLError, AttributeError):
        return None, None
