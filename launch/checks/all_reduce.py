"""How fast the processes of a job add up tensors, over what training will use: gloo or NCCL."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launch.checks.finding import Finding
from launch.engine.faults import gist

if TYPE_CHECKING:
    from launch.engine.distributed import World

PATIENCE = 60.0
"""Seconds that all sums together may take; NCCL takes up to some tens of them to connect many machines."""

_BUDGET = 1.5  # seconds of measuring, after the first sum, which makes the connections
_MOST = 20  # sums
_LARGEST = 64 * 2**20  # bytes

_DEBUG = (
    "export NCCL_SOCKET_IFNAME=NAME GLOO_SOCKET_IFNAME=NAME NCCL_DEBUG=INFO  # NAME: of `ip -brief address`"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A measured all-reduce."""

    backend: str
    processes: int
    machines: int
    bytes: int
    """Of one sum."""
    seconds: float
    """Of one sum, on the slowest process; the mean of several."""
    right: bool
    """Whether the sum was the right one everywhere."""
    gradients: int
    """Bytes of the network's gradients, which every step adds up."""
    step: float | None
    """Seconds of a step's computation as estimated for V100s; None where nothing is known."""

    @property
    def bus(self) -> float:
        """GB/s through each process's link, the number of processes taken out: 2 (n-1)/n bytes / seconds.

        https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md
        """
        return 2 * (self.processes - 1) / self.processes * self.bytes / self.seconds / 1e9


def measure(world: World, *, gradients: int, step: float | None) -> Rate:
    """Adds up as many numbers as there are gradients, 64 MiB at most, for about 2 s; all ranks call this."""
    import torch
    import torch.distributed as dist

    size, count = min(gradients, _LARGEST) // 4, world.place.world_size
    values = torch.full((size,), float(world.place.rank + 1), device=world.device)
    began = time.perf_counter()
    dist.all_reduce(values)
    right = float(values[-1]) == count * (count + 1) / 2  # reading a value waits for the device
    first = max(_everybody(world, time.perf_counter() - began))
    values.zero_()
    repeats = max(1, min(_MOST, int(_BUDGET / first)))
    began = time.perf_counter()
    for _ in range(repeats):
        dist.all_reduce(values)
    float(values[-1])
    seconds = max(_everybody(world, (time.perf_counter() - began) / repeats))
    return Rate(
        backend="nccl" if dist.get_backend(None) != "gloo" and world.device.type == "cuda" else "gloo",
        processes=count,
        machines=len(set(world.hosts)),
        bytes=4 * size,
        seconds=seconds,
        right=all(_everybody(world, right)),
        gradients=gradients,
        step=step,
    )


def judge(rate: Rate) -> Finding:
    """Returns what is to be said of a measured all-reduce."""
    between = f"{rate.processes} processes on {rate.machines} machine{'s' * (rate.machines > 1)}"
    spent = rate.seconds * rate.gradients / rate.bytes
    told = (
        f"{rate.bus:.2f} GB/s bus bandwidth over {rate.backend} between {between}: the network's "
        f"{rate.gradients / 1e6:.0f} MB of gradients take {1000 * spent:.0f} ms"
    )
    if not rate.right:
        return Finding("error", f"wrong sums over {rate.backend} between {between}", _DEBUG)
    if rate.backend == "nccl" and rate.step is not None and spent > rate.step:
        return Finding(
            "warning",
            f"{told}, longer than a V100 computes at a step ({1000 * rate.step:.0f} ms by estimate): the "
            "processes will wait for each other",
            _DEBUG,
        )
    return Finding("ok", told)


def alone(*, gpus: int) -> Finding:
    """Returns what is to be said of one process."""
    if gpus > 1:
        return Finding(
            "ok",
            f"not measured: one process for {gpus} GPUs",
            "torchrun --nproc-per-node=gpu launch/doctor.py",
        )
    return Finding("ok", "one process: nothing to add up")


def failed(error: BaseException) -> Finding:
    """Returns what is to be said where the sum, or joining for it, has failed."""
    return Finding("error", f"the processes cannot reach each other ({gist(error)})", _DEBUG)


@contextmanager
def at_most(seconds: float, *, end: Callable[[Finding], object]) -> Iterator[None]:
    """Ends the process with code 1 when the block takes longer, after a call of `end` with a finding."""

    def give_up() -> None:
        end(Finding("error", f"the processes have not added up within {seconds:.0f} s", _DEBUG))
        sys.stdout.flush()
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _everybody(world: World, value: float) -> list[float]:
    import torch.distributed as dist

    values = [0.0] * world.place.world_size
    dist.all_gather_object(values, value, group=world.host_group)
    return values
