"""Whether NVIDIA's driver is new enough, and not too new, for torch and DALI."""

from __future__ import annotations

from launch.checks.architecture import V100_SET
from launch.checks.finding import Finding
from launch.checks.gpus import Gpus

_NEEDED = {12: (525, 60, 13), 13: (580,)}
"""By CUDA's major version, https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/#cuda-driver. DALI's build
for CUDA 12 needs what CUDA 12 needs."""

_LAST_OF_VOLTA = 580  # later series do not drive it


def judge(gpus: Gpus) -> Finding:
    """Returns what is to be said of the driver."""
    if gpus.driver is None:
        return Finding("ok", "no NVIDIA driver, and none needed on a CPU")
    if gpus.cuda is None:
        return Finding("ok", f"{gpus.driver}; torch's build for CPUs makes no use of it")
    driver = _numbers(gpus.driver)
    needed = max(_NEEDED[12], _NEEDED.get(_numbers(gpus.cuda)[0], (0,)))
    least = ".".join(map(str, needed))
    if driver < needed and not gpus.visible:
        if driver >= _NEEDED[12]:
            return Finding("error", f"{gpus.driver}, but CUDA {gpus.cuda} needs {least} or newer", V100_SET)
        return Finding(
            "error",
            f"{gpus.driver}, but CUDA {gpus.cuda} needs {least} or newer, and DALI 525.60.13: ask whoever "
            "keeps this machine for a driver of the 580 series",
        )
    if driver < needed:
        return Finding(
            "warning",
            f"{gpus.driver} is older than CUDA {gpus.cuda} asks for ({least}); torch sees the GPUs all the "
            "same, as with NVIDIA's compatibility package",
        )
    if driver[0] > _LAST_OF_VOLTA and not gpus.visible and gpus.on_bus:
        return Finding(
            "error",
            f"{gpus.driver}, and torch sees no GPU: for V100 the {_LAST_OF_VOLTA} series is the last; ask "
            "whoever keeps this machine",
        )
    return Finding("ok", f"{gpus.driver}; CUDA {gpus.cuda} needs {least} or newer")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
