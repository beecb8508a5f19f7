"""Whether the installed torch has code for this machine's GPUs."""

from __future__ import annotations

from collections import Counter

from launch.checks.finding import Finding
from launch.checks.gpus import Gpu, Gpus

NEW_SET = 'python -m pip install --upgrade -c constraints/cpu.txt -e ".[train]"'
"""torch 2.13 with CUDA 13.0: from T4 (sm_75) on, with a driver of the 580 series."""

V100_SET = 'python -m pip install -c constraints/v100.txt -e ".[train,v100]"'
"""torch 2.10 with CUDA 12.8: V100 (sm_70) and newer, with drivers from 525.60.13."""

INSTALL = f"{NEW_SET}   # on V100: {V100_SET}"
"""What brings a package that is missing, with the torch that fits."""

_OLDEST, _OLDEST_OF_CUDA_13 = (7, 0), (7, 5)


def judge(gpus: Gpus) -> Finding:
    """Returns what is to be said of torch's build and the GPUs."""
    build = f"torch {gpus.torch}, " + (f"CUDA {gpus.cuda}" if gpus.cuda else "a build for CPUs")
    if gpus.visible:
        return _judge_visible(gpus, build)
    if gpus.hidden:
        return Finding("ok", f"no GPU wanted (CUDA_VISIBLE_DEVICES is empty): trains on the CPU; {build}")
    if gpus.cuda is None and (gpus.on_bus or gpus.driver):
        return Finding(
            "error",
            f"this machine has an NVIDIA GPU, but {build}: it would train on the CPU. To let it: "
            "export CUDA_VISIBLE_DEVICES=. Else, with constraints/v100.txt and [train,v100] for V100:",
            f"python -m pip uninstall -y torch && {NEW_SET}",
        )
    if gpus.on_bus and (gpus.driver or gpus.allotted):
        why = f"driver {gpus.driver}" if gpus.driver else "no driver is loaded"
        return Finding(
            "error",
            f"{gpus.on_bus} NVIDIA GPUs on the bus, but torch sees none ({why}); {build}",
            "nvidia-smi",
        )
    if gpus.on_bus:
        return Finding(
            "warning", f"an NVIDIA GPU without its driver: trains on the CPU; {build}", "nvidia-smi"
        )
    if gpus.allotted:
        return Finding(
            "warning",
            f"the batch system gave the job {gpus.allotted} GPUs here, but there is none: trains on the CPU; "
            f"{build}",
            "sinfo --format='%N %G'",
        )
    return Finding("ok", f"no GPU: trains on the CPU, which is enough for the demo; {build}")


def require(gpus: Gpus) -> None:
    """Raises a ValueError where torch cannot use this machine's GPUs, or has no code for them."""
    finding = judge(gpus)
    if finding.level == "error":
        raise ValueError(f"{finding.text}; {finding.remedy}")


def _judge_visible(gpus: Gpus, build: str) -> Finding:
    named = ", ".join(
        f"{count} x {gpu.name} (sm_{gpu.capability[0]}{gpu.capability[1]})"
        for gpu, count in Counter(gpus.visible).items()
    )
    fits = {gpu: fit(gpu.capability, built_for=gpus.built_for) for gpu in gpus.visible}
    bad = [gpu for gpu, kind in fits.items() if kind is None]
    if bad:
        return Finding(
            "error",
            f"{build}, has no code for {_some(bad)}; it has {' '.join(gpus.built_for)}",
            _remedy(min(gpu.capability for gpu in bad)),
        )
    if compiled := [gpu for gpu, kind in fits.items() if kind == "ptx"]:
        return Finding(
            "warning",
            f"{named}: {build}, has no machine code for {_some(compiled)}; the driver compiles PTX at the "
            "first start, for minutes",
            NEW_SET,
        )
    return Finding("ok", f"{named}; {build}")


def fit(capability: tuple[int, int], *, built_for: tuple[str, ...]) -> str | None:
    """Returns how a build serves a GPU: "sass" by machine code, "ptx" by code to compile, None not at all.

    Machine code runs on GPUs of the same major capability and an equal or higher minor one, PTX on all that
    are equal or newer (CUDA C++ Programming Guide, "Binary Compatibility", "PTX Compatibility").
    """
    kinds = {"sass": [], "ptx": []}
    for name in built_for:
        kind, _, number = name.partition("_")
        digits = "".join(letter for letter in number if letter.isdigit())
        if digits and number == digits:  # sm_90a and its like run on that one capability only
            kinds["ptx" if kind == "compute" else "sass"].append((int(digits[:-1]), int(digits[-1])))
    if any(major == capability[0] and minor <= capability[1] for major, minor in kinds["sass"]):
        return "sass"
    return "ptx" if any(known <= capability for known in kinds["ptx"]) else None


def _remedy(capability: tuple[int, int]) -> str:
    if capability < _OLDEST:
        return ""
    return V100_SET if capability < _OLDEST_OF_CUDA_13 else NEW_SET


def _some(gpus: list[Gpu]) -> str:
    return ", ".join(f"{gpu.name} (sm_{gpu.capability[0]}{gpu.capability[1]})" for gpu in dict.fromkeys(gpus))
