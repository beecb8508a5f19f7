"""Rank, device and process group: the only file that chooses a backend."""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from launch.engine.memory import keep_freed_memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where this process stands, as the launcher says; one process without a launcher is rank 0 of 1."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def nodes(self) -> int:
        """Machines of the job, all with equally many processes."""
        return max(self.world_size // self.local_world_size, 1)

    @property
    def first(self) -> bool:
        """Whether this is the rank that speaks and writes."""
        return self.rank == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A place with its device, after the process group has been joined."""

    place: Place
    device: torch.device
    host_group: dist.ProcessGroup
    """Processes connected through the hosts' memory, for objects and flags."""

    @property
    def device_name(self) -> str:
        """What the device calls itself."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    def wait(self) -> None:
        """Waits until every rank has come here."""
        dist.barrier(group=self.host_group)

    def pin(self, buffer: torch.Tensor) -> None:
        """Fixes a buffer of the host in its place, so that a GPU copies into it at full speed."""
        if self.device.type == "cuda":
            runtime: Any = torch.cuda.cudart()
            with torch.cuda.device(self.device):
                code = runtime.cudaHostRegister(buffer.data_ptr(), buffer.nbytes, 0)
            torch.cuda.check_error(int(code))


def find_place() -> Place:
    """Reads torchrun's variables."""
    number = {name: int(os.environ.get(name, default)) for name, default in _DEFAULTS.items()}
    return Place(
        rank=number["RANK"],
        world_size=number["WORLD_SIZE"],
        local_rank=number["LOCAL_RANK"],
        local_world_size=number["LOCAL_WORLD_SIZE"],
    )


_DEFAULTS = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}


def find_device(place: Place) -> torch.device:
    """Returns this process's GPU, or the CPU where there is none.

    A launcher may show each process its own GPU only, hence the remainder.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", place.local_rank % torch.cuda.device_count())


def join(place: Place, *, timeout: timedelta = timedelta(minutes=10)) -> World:
    """Joins the process group: gloo on CPU, NCCL on GPU. One process joins a group of its own."""
    keep_freed_memory()
    device = find_device(place)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if place.world_size == 1:
        dist.init_process_group(backend, store=_alone(), rank=0, world_size=1, timeout=timeout)
    else:
        dist.init_process_group(backend, timeout=timeout)
    host_group = dist.new_group(backend="gloo", timeout=timeout)
    assert isinstance(host_group, dist.ProcessGroup)
    return World(place=place, device=device, host_group=host_group)


def _alone() -> Any:
    return dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]


def leave(code: int) -> None:
    """Leaves the process group and ends the process.

    Ends without the interpreter's shutdown: gloo's threads can free a work object during it and abort a
    process that has done all its work. After a failure (`code` not 0) nobody is waited for.
    """
    if dist.is_initialized() and code == 0:
        dist.barrier()
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
