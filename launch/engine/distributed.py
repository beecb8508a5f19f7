"""Rank, device and process group: the only file that chooses a backend."""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from launch.engine.binding import Seat, cpus_of, own_cpus, pci_address, take_seat
from launch.engine.hush import hushed
from launch.engine.memory import keep_freed_memory
from launch.engine.preemption import StopRequest
from launch.engine.pulse import Pulse

_SLACK = timedelta(minutes=2)
"""What collectives wait longer than a rank waits until it says who is missing: a GPU lags behind its host."""


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
    hosts: tuple[str, ...]
    """The machine of each rank."""
    sharing: int
    """Processes, this one included, that share its CPUs; see launch.engine.binding."""
    pulse: Pulse
    recorder: str | None
    """Where NCCL's last collectives are written when they time out: a path that a rank's number ends."""

    @property
    def device_name(self) -> str:
        """What the device calls itself."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    def watch(
        self, *, timeout: timedelta, stop: StopRequest, end: Callable[[str, Sequence[str]], None]
    ) -> None:
        """From here on, ends the process when ranks have waited for each other too long, see `Pulse.arm`."""
        self.pulse.arm(
            timeout=timeout.total_seconds(), stop=stop, end=end, leave=lambda: write_recorded(self)
        )

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


def near_cpus(device: torch.device) -> frozenset[int] | None:
    """Returns the CPUs of the NUMA node that a GPU is attached to; None for a CPU, and where none is told."""
    return cpus_of(pci_address(torch.cuda.get_device_properties(device))) if device.type == "cuda" else None


def join(place: Place, *, timeout: timedelta = timedelta(minutes=10), recorder: Path | None = None) -> World:
    """Joins the process group: gloo on CPU, NCCL on GPU. One process joins a group of its own.

    Binds this process to the CPUs near its GPU where launch.engine.binding says so.

    Args:
        timeout: how long ranks wait for each other; collectives fail two minutes later.
        recorder: folder for NCCL's last collectives, should they time out.
    """
    keep_freed_memory()
    timeout += _SLACK
    device = find_device(place)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    prefix = record_collectives(recorder) if device.type == "cuda" and recorder else None
    with hushed():
        if place.world_size == 1:
            dist.init_process_group(backend, store=_alone(), rank=0, world_size=1, timeout=timeout)
        else:
            dist.init_process_group(backend, timeout=timeout)
        host_group = dist.new_group(backend="gloo", timeout=timeout)
    assert isinstance(host_group, dist.ProcessGroup)
    seat = Seat(host=socket.gethostname(), own=own_cpus(), near=near_cpus(device))
    seats = [seat] * place.world_size
    dist.all_gather_object(seats, seat, group=host_group)
    hosts, sharing = [each.host for each in seats], take_seat(seats, rank=place.rank)
    pulse = Pulse(place.rank, hosts=hosts, store=dist.distributed_c10d._get_default_store())
    return World(
        place=place,
        device=device,
        host_group=host_group,
        hosts=tuple(hosts),
        sharing=sharing,
        pulse=pulse,
        recorder=prefix,
    )


def record_collectives(folder: Path) -> str:
    """Has NCCL keep its last 2000 collectives, and write them to `folder` on a time-out.

    Variables that are set already stay. Up to torch 2.10 the number has to be said by an older name as well,
    which later ones complain about (FlightRecorder.hpp, ProcessGroupNCCL.hpp).

    Returns:
        The files' path up to the rank's number. `python -m torch.distributed.flight_recorder.fr_trace` reads
        them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = os.environ.setdefault("TORCH_FR_DUMP_TEMP_FILE", f"{folder.resolve()}/rank_")
    os.environ.setdefault("TORCH_FR_BUFFER_SIZE", "2000")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) <= (2, 10):
        os.environ.setdefault("TORCH_NCCL_TRACE_BUFFER_SIZE", "2000")
    os.environ.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")
    return prefix


def write_recorded(world: World) -> None:
    """Writes NCCL's last collectives of this rank, where they are recorded, before its own time-out would."""
    native = torch._C._distributed_c10d  # pyright: ignore[reportAttributeAccessIssue]
    dump = getattr(native, "_dump_nccl_trace", None)
    if world.recorder is not None and dump is not None:
        with suppress(OSError):  # a full disk, or a folder that is gone, must not hide why the run ends
            Path(f"{world.recorder}{world.place.rank}").write_bytes(dump())


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
