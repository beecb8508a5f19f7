"""Where one task of a job sits: in which attempt, on which of the nodes, and where these meet. No torch."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """Of one task that submitit has started.

    Attributes:
        job: its id, of an array ARRAY_INDEX; of a job on this machine its process number.
        attempt: how often Slurm has queued it again; None where nobody counts.
        hosts: names of the job's nodes.
        node: which of them this is.
        rendezvous: HOST:PORT where they meet, the same on all.
        folder: submitit's.
    """

    job: str
    attempt: int | None
    hosts: tuple[str, ...]
    node: int
    rendezvous: str
    folder: Path

    @property
    def local(self) -> bool:
        """Whether Slurm has no part in it."""
        return self.attempt is None


def find_seat(environment: Mapping[str, str]) -> Seat:
    """Returns the seat that submitit's and Slurm's variables describe."""
    folder = Path(environment["SUBMITIT_FOLDER"])
    if environment["SUBMITIT_EXECUTOR"] == "local":
        return Seat(
            job=environment["SUBMITIT_LOCAL_JOB_ID"],
            attempt=None,
            hosts=(socket.gethostname(),),
            node=0,
            rendezvous=f"127.0.0.1:{_free_port()}",
            folder=folder,
        )
    number, attempt = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_RESTART_COUNT", "0"))
    array = environment.get("SLURM_ARRAY_JOB_ID")
    hosts = _output("scontrol", "show", "hostnames", environment["SLURM_JOB_NODELIST"]).split()
    # Below the ports that the kernel hands out; jobs that share a node differ, and so do attempts at one.
    port = 10000 + (number * 97 + attempt) % 20000
    return Seat(
        job=f"{array}_{environment['SLURM_ARRAY_TASK_ID']}" if array else str(number),
        attempt=attempt,
        hosts=tuple(hosts),
        node=int(environment["SLURM_PROCID"]),
        rendezvous=f"{_address(hosts[0])}:{port}",
        folder=folder,
    )


def _address(name: str) -> str:
    """Returns the host's name, or its address where only Slurm knows that name."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        found = re.search(r" NodeAddr=(\S+)", _output("scontrol", "-o", "show", "node", name))
        return found[1] if found else name
    return name


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
