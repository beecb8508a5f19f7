"""The process that writes checkpoints, and the handle that training has on it. Standard library only.

Training copies a snapshot into memory that both share and goes on; this process makes a file of it. It
imports neither torch nor CUDA, so it is there at once, takes 15 MB, and cannot hold a GPU. The file is what
`torch.load(weights_only=True)` reads: a zip of data.pkl and one member per tensor
(https://docs.pytorch.org/docs/stable/notes/serialization.html). The CRC-32 of each member is its checksum.
"""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

_SIGNALS = {getattr(signal, f"SIG{name}") for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2")}
_NICE = 10
_PATIENCE = 5.0  # seconds that an idle process is given to end
_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_ALIGNMENT = 64  # bytes, of tensors in the file, so that it can be mapped into memory
_LOCAL_HEADER = 30  # bytes of a zip member's header before its name
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A member of the file, and where its bytes stand in the shared memory."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A checkpoint to be written.

    Attributes:
        claim: a file that is there as long as the folder is this run's to write.
    """

    last: Path
    previous: Path
    claim: Path | None
    pieces: Sequence[Piece]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How an order ended: after how many seconds, and why it failed, if it did."""

    seconds: float
    error: str | None = None


class Writer:
    """Starts the process, and again when it has died; it never outlives this one.

    Attributes:
        memory: descriptor of the shared memory; it has no size yet.
        busy: whether an order is being carried out.
    """

    def __init__(self) -> None:
        self.memory = os.memfd_create("checkpoint")
        self.busy = False
        self._since = 0.0
        self._start()

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        program = "import sys; sys.path.insert(0, sys.argv[1]); from launch.engine.writer import main; main()"
        handed = (theirs.fileno(), self.memory)
        # A stop signal of the whole job must not end it while it writes. Blocked signals stay so in a child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", program, str(_ROOT), *map(str, handed), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=handed,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def send(self, order: Order) -> None:
        """Hands over an order; `answer` tells how it ended."""
        assert not self.busy
        self.busy, self._since = True, time.monotonic()
        with suppress(OSError):  # none can be started, or it has just died: `answer` says so
            if self.process.poll() is not None:
                self._connection.close()
                self._start()
            self._connection.send(order)

    def answer(self, *, timeout: float = 0.0) -> Answer | None:
        """Returns how the order ended, or None after `timeout` seconds in which it has not."""
        assert self.busy
        try:
            if not self._connection.poll(timeout):
                return None
            answer = self._connection.recv()
        except (EOFError, OSError):
            answer = Answer(seconds=self.seconds, error=f"the process that writes ended {self._ending()}")
        self.busy = False
        return answer

    @property
    def seconds(self) -> float:
        """Since the last order."""
        return time.monotonic() - self._since

    def _ending(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(_PATIENCE)
            return f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return "its connection"

    def close(self) -> None:
        """Ends the process, also in the middle of an order, and gives the memory back."""
        self._connection.close()
        if self.busy:
            self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.process.kill()
        self.process.wait()
        os.close(self.memory)


def main() -> None:
    """Carries out orders until the trainer is gone. Arguments: root, pipe, memory, the trainer's pid."""
    connection, memory, trainer = Connection(int(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != trainer:
        return
    os.nice(_NICE)
    with suppress(EOFError, ConnectionError):
        while True:
            order = connection.recv()
            started = time.monotonic()
            error = None
            try:
                write(order, memory)
            except OSError as failure:
                error = str(failure)
            connection.send(Answer(seconds=time.monotonic() - started, error=error))


def write(order: Order, memory: int) -> None:
    """Writes last.pt and keeps the one before; a kill at any moment leaves a whole last.pt.

    Raises:
        OSError: it cannot; last.pt is then as it was.
    """
    last, previous = order.last, order.previous
    own = f".{socket.gethostname()}-{os.getpid()}.tmp"  # another process may be about to learn that it lost
    fresh, spare = (path.with_suffix(own) for path in (last, previous))
    try:
        _write_zip(order.pieces, memory, fresh)
        if order.claim is not None and not order.claim.exists():
            raise FileNotFoundError(f"{order.claim} is gone: the run has been taken over")
        if last.exists():
            spare.unlink(missing_ok=True)
            os.link(last, spare)
            spare.replace(previous)
        fresh.replace(last)
        _sync_folder(last.parent)
    finally:
        for path in (fresh, spare):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _write_zip(pieces: Sequence[Piece], memory: int, path: Path) -> None:
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for piece in pieces:
                archive.writestr(_member(piece.name, file.tell()), os.pread(memory, piece.size, piece.offset))
        file.flush()
        os.fsync(file.fileno())


def _member(name: str, position: int) -> zipfile.ZipInfo:
    """Returns the header of a member whose bytes are to begin at a multiple of the alignment."""
    member = zipfile.ZipInfo(name)
    start = position + _LOCAL_HEADER + len(name) + 4
    pad = -start % _ALIGNMENT
    member.extra = struct.pack("<2sH", b"FB", pad) + b"Z" * pad  # as torch.save does
    return member


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
