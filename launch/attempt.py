"""How an attempt ends: one message, one exit code, one attempt.json."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch.engine.faults import Fault
from launch.engine.preemption import StopRequest
from launch.folder import write_json

_NAME = "attempt.json"
_BEGUN = "ended from outside, without a word"
_HERE = Path(__file__).resolve().parent.parent
_PATIENCE = 15.0  # seconds that a rank leaves rank 0 to say the same


class Missed(Exception):
    """The work is done, but its result is not the one asked for; the message is for the user."""


@dataclass(slots=True)
class Attempt:
    """One start of a program: where its end is recorded, and what the end was.

    Attributes:
        folder: the run's folder once it is known.
        step: the last step trained.
        silent: nothing was attempted, so nothing is recorded.
        barred: nothing is written into the folder: it is another process's, or no run is trained.
        hosts: machines whose processes went missing.
        began: Unix seconds.
        stop: whether this process has been told to stop.
    """

    folder: Path | None = None
    step: int | None = None
    state: str = "done"
    message: str = ""
    hosts: Sequence[str] = ()
    silent: bool = False
    begun: bool = False
    barred: bool = False
    recorded: bool = False
    began: float = field(default_factory=time.time)
    rank: int = field(default_factory=lambda: int(os.environ.get("RANK", "0")))
    stop: StopRequest = field(init=False)

    def __post_init__(self) -> None:
        self.stop = StopRequest(end=self._cut_short)

    def begin(self) -> None:
        """Records that the attempt has begun, so that one killed without a word is not taken for the last."""
        self.begun = True
        self._write(state="fault", message=_BEGUN, step=None)

    def record(self) -> None:
        """Writes attempt.json into the run's folder, or runs/ before it is known, and to $REXNET_ATTEMPT.

        A fault does not hide what another rank has recorded that caused it.
        """
        if self.begun and not self.barred and self.state == "fault" and not self.is_open():
            return
        self.recorded = True
        self._write(state=self.state, message=self.message, step=self.step)

    def give_up(self, message: str, *, hosts: Sequence[str], step: int, progress: bool) -> None:
        """Says and records that other ranks are missing, unless one of them has said why it ended.

        A run that got on is queued again; one that did not would not get on next time either.

        Args:
            hosts: machines of the missing ranks.
        """
        if self.is_open():
            print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
            self.state, self.message, self.step = "requeue" if progress else "fault", message, step
            self.hosts = hosts
            self.record()

    def is_open(self) -> bool:
        """Whether no rank has recorded how this attempt ends."""
        place = (self.folder or Path("runs")) / _NAME
        return place.exists() and json.loads(place.read_text())["message"] == _BEGUN

    def _cut_short(self) -> None:
        """Records that the process is ended by a signal, if its end is not known yet."""
        if self.rank == 0 and not self.recorded and not self.silent:
            self.state = "requeue"
            self.message = "ended by a signal, at once; the same command goes on from the newest checkpoint"
            self.record()

    def _write(self, *, state: str, message: str, step: int | None) -> None:
        folder = None if self.folder is None else str(self.folder.resolve())
        content = {"state": state, "message": message, "step": step, "folder": folder, "hosts": [*self.hosts]}
        places = [] if self.barred else [(self.folder or Path("runs")) / _NAME]
        if wanted := os.environ.get("REXNET_ATTEMPT"):
            places.append(Path(wanted))
        for place in places:
            try:
                write_json(place, content)
            except OSError as error:
                print(f"{place} cannot be written: {error}", file=sys.stderr)


def carry_out(work: Callable[[Attempt], None], *, attempt: Attempt) -> int:
    """Does the work and returns the exit code: 0, 2 for a mistake of the user, 1 for a fault or a miss.

    What every rank meets is said once: the other ranks wait for rank 0, whose end ends them. Signals end
    the work, unless it defers them.
    """
    try:
        attempt.stop.listen()
        work(attempt)
    except KeyboardInterrupt:
        message = "told to stop before there was anything to save; the same command starts again"
        return _end(attempt, state="requeue", message=message, code=130)
    except (Missed, Fault) as fault:
        return _end(attempt, state="fault", message=str(fault), code=1, plain=True)
    except Exception as error:
        if _is_mistake(error):
            return _end(attempt, state="user-error", message=str(error), code=2, plain=True)
        if attempt.is_open() or not _is_echo(error):
            traceback.print_exc()
        return _end(attempt, state="fault", message=f"{type(error).__name__}: {error}", code=1)
    if attempt.rank == 0 and not attempt.silent:
        attempt.record()
    return 0


def _is_mistake(error: Exception) -> bool:
    """Whether the user can mend it: our own ValueErrors and what the file system refuses."""
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError | FileExistsError):
        return True
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    return isinstance(error, ValueError) and raised_in.is_relative_to(_HERE)


def _is_echo(error: Exception) -> bool:
    """Whether a collective has failed, which is all that this rank sees of another one's end."""
    told = ("gloo" in str(error), "NCCL" in str(error), type(error).__name__.startswith("Dist"))
    return isinstance(error, RuntimeError) and any(told)


def _end(attempt: Attempt, *, state: str, message: str, code: int, plain: bool = False) -> int:
    """Records the end, on rank 0 at once. A `plain` message is said here, in place of a traceback."""
    attempt.state, attempt.message = state, message
    if attempt.rank != 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # rank 0's end is to end this one at once
        time.sleep(_PATIENCE if plain else 1.0)
        if state == "user-error":
            print(f"rank {attempt.rank}: {message}", file=sys.stderr)
        if state == "user-error" or attempt.is_open():
            attempt.record()
        return code
    if plain:
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    attempt.record()
    return code
