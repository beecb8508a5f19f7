"""The claim on a run's folder: one process writes into it, whoever else starts. No torch.

flock does not hold on every network file system; creating a file that must not exist yet does. So a claim is
a file `lock.N`, and taking it over from the dead is creating `lock.N+1`, which one of many contenders can do.
Its time of change is the heartbeat.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.engine.faults import Superseded

BEAT = 5.0  # seconds
STALE = 60.0  # seconds without a beat after which a holder on another machine counts as dead


class Taken(ValueError):
    """Another process holds the folder; the message names it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a claim, as its file says, and the seconds since its last heartbeat."""

    facts: Mapping[str, Any]
    silence: float

    @property
    def dead(self) -> bool:
        """Whether it cannot come back, or has been silent for so long that this is to be assumed."""
        ours = _self()
        if self.facts.get("machine") == ours["machine"]:
            return _started(self.facts["pid"]) != self.facts["started"]
        # Slurm starts a job again only when its earlier attempt has ended.
        job = ours["job"] is not None and self.facts.get("job") == ours["job"]
        return self.silence > STALE or (job and self.facts.get("attempt") != ours["attempt"])

    def __str__(self) -> str:
        name = f"process {self.facts.get('pid', '?')} on {self.facts.get('host', '?')}"
        job = f", job {self.facts['job']}" if self.facts.get("job") else ""
        return f"{name}{job}, last heartbeat {self.silence:.0f} s ago"


class Claim:
    """A folder held by this process until `close`, with a thread that says so every few seconds.

    Raises:
        Taken: another process holds it.

    Attributes:
        file: there as long as the claim stands.
        earlier: the dead holder that it was taken over from.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.earlier: Holder | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._facts = _self() | {"token": uuid.uuid4().hex}
        self._number = self._take()
        self._inode = folder.stat().st_ino
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def file(self) -> Path:
        return self.folder / f"lock.{self._number}"

    def _take(self) -> int:
        while True:
            newest = max(_numbers(self.folder), default=0)
            if newest and (holder := _read(self.folder, newest)) is not None:
                if not holder.dead:
                    raise Taken(
                        f"{self.folder} is being trained by {holder}; stop that one, or take another --out"
                    )
                self.earlier = holder
            if not self._create(newest + 1):
                continue
            found = _numbers(self.folder)
            if max(found) > newest + 1:  # ours came from an old look at the folder
                (self.folder / f"lock.{newest + 1}").unlink(missing_ok=True)
                continue
            for number in found:
                if number <= newest:
                    (self.folder / f"lock.{number}").unlink(missing_ok=True)
            return newest + 1

    def _create(self, number: int) -> bool:
        """Makes the file with its content in one act; returns False where another was first."""
        draft = self.folder / f"lock.{self._facts['token']}.tmp"
        draft.write_text(json.dumps(self._facts))
        try:
            os.link(draft, self.folder / f"lock.{number}")
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(OSError):
                os.utime(self.file)

    def check(self) -> None:
        """Raises Superseded where another process took the folder over, after this one's long silence."""
        try:
            token = json.loads(self.file.read_text())["token"]
            lost = token != self._facts["token"] or (self.folder / f"lock.{self._number + 1}").exists()
        except FileNotFoundError:
            lost = self._is_lost()
        except (OSError, ValueError):
            return  # the file system does not answer, which says nothing of the claim
        if lost:
            raise Superseded(
                f"another process has taken {self.folder} over, as this one gave no sign of life for more "
                f"than {STALE:.0f} s, or somebody has removed {self.file.name} from it; this one stops and "
                "writes nothing more. If no other trains, the same command goes on"
            )

    def _is_lost(self) -> bool:
        """Whether the missing file means that the claim is lost, not that the whole folder was removed."""
        try:
            inode = self.folder.stat().st_ino
            if inode == self._inode or not self._create(self._number):
                return True
        except OSError:
            return False
        self._inode = inode
        return False

    def close(self) -> None:
        """Gives the folder free for the next process."""
        self._end.set()
        self._thread.join()
        with suppress(OSError, Superseded):
            self.check()
            self.file.unlink()


def _numbers(folder: Path) -> list[int]:
    names = (path.name.partition("lock.")[2] for path in folder.glob("lock.*"))
    return [int(name) for name in names if name.isdigit()]


def _read(folder: Path, number: int) -> Holder | None:
    """Returns who holds a claim, or None where it is free meanwhile."""
    file, probe = folder / f"lock.{number}", folder / f"lock.{uuid.uuid4().hex}.tmp"
    try:
        facts = json.loads(file.read_text())
        probe.touch()  # the file server's clock may differ from ours
        silence = probe.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)
    return Holder(facts, max(silence, 0.0))


def _self() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "machine": _machine(),
        "job": os.environ.get("SLURM_JOB_ID"),
        "attempt": os.environ.get("SLURM_RESTART_COUNT", "0"),
    }


def _started(pid: int) -> str | None:
    """Returns the clock tick at which a process started, or None where there is none; a pid comes again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # a zombie has ended


def _machine() -> str:
    """Returns where a pid has a meaning: the running kernel, and the space of its process numbers."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
