"""What a Tesla V100 needs for a step's work: arithmetic on published figures, nothing measured by us.

Memory moves at what a copy reaches of the 900 GB/s. Two rates of arithmetic make NVIDIA's ResNet-50 come out
right; ResNet-50 has no depthwise convolution, so their rate is the one at which pycls's EfficientNet-B1 to B3
come out right. tests/timing/test_v100.py derives the three anew and holds EfficientNet-B0 against its
published rows, which served for none of them; docs/performance.md has the table.
"""

from __future__ import annotations

from typing import Literal

from launch.timing.work import StepWork, Work

Arithmetic = Literal["fp16", "fp32"]
"""A V100 has no bf16."""

MEMORY = 790e9
"""Bytes/s of a copy on the device (https://www.paranumal.com/single-post/2018/02/08/rough-n-ready-roofline-nvidia-v100-edition)."""

FLOPS: dict[Arithmetic, float] = {"fp16": 63.6e12, "fp32": 13.4e12}
"""FLOPs/s of dense convolutions, of 125e12 and 15.7e12 at most (NVIDIA's V100 data sheet)."""

DEPTHWISE = 81.8e9
"""Bytes/s of convolutions within one channel."""

HOST = 53e-6
"""Seconds in which a host starts one operator: 42.5 ms for a step's 800 (docs/gpu.md, the host of an H200).
Not measured on a V100's host, and the only constant that was measured by us."""

DECODING = 208.0
"""Images/s that a CPU core decodes and augments: 8322 by the 40 of NVIDIA's DGX-1 (ResNet-50, 8 V100)."""

_OPTIMIZING = 15  # times that optimizer, average, scaler and norm read or write each parameter, in fp32
_BYTES: dict[Arithmetic, int] = {"fp16": 2, "fp32": 4}


def device_seconds(work: Work, *, precision: Arithmetic) -> float:
    """Returns the seconds of a pass on the device.

    Convolutions take as long as the slower of their arithmetic and their traffic; all else is traffic, of
    which autocast has halved every image.
    """
    width = _BYTES[precision]
    dense = max(work.convolved * width / MEMORY, work.flops / FLOPS[precision])
    return dense + work.moved * width / MEMORY + work.depthwise * width / DEPTHWISE


def update_seconds(step: StepWork) -> float:
    """Returns the seconds of optimizer and average."""
    return step.parameters * _OPTIMIZING * 4 / MEMORY


def step_seconds(step: StepWork, *, images: int, accumulation: int = 1, precision: Arithmetic) -> float:
    """Returns the seconds of an optimizer step of one GPU, without waiting for others or for data."""
    device = device_seconds(step.of(images), precision=precision)
    host = step.per_step.kernels * HOST
    return accumulation * max(device, host) + update_seconds(step)


def host_bound(step: StepWork, *, images: int, precision: Arithmetic) -> bool:
    """Returns whether the host starts operators more slowly than the device ends them."""
    return step.per_step.kernels * HOST > device_seconds(step.of(images), precision=precision)
