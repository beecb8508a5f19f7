"""Keeps checkpoints while training goes on: snapshots on the way, and a process that writes them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

from launch.engine.checkpoint import Checkpoints
from launch.engine.faults import Fault
from launch.engine.ports import Happening
from launch.engine.snapshot import Snapshot
from launch.engine.state import TrainState
from launch.engine.writer import Order, Writer

_PATIENCE = 600.0  # seconds that the end of a run leaves the writer
_LATE = 60.0  # seconds after which a checkpoint that is still being written is worth a word
_TRIES = 2  # at the end of a run, for a writer that has died


class Keeper:
    """Saves a state. Between the log boundaries at which it is called, the writer works beside training.

    Args:
        writer: the process that writes.
        pin: see `Snapshot`.
        claim: a file that is there as long as the folder is this run's to write.

    Attributes:
        failed: how many checkpoints this process could not write.
        saved: step of the newest checkpoint; a state past step 0 comes from one.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        state: TrainState,
        *,
        writer: Writer,
        pin: Callable[[Tensor], None] = lambda buffer: None,
        claim: Path | None = None,
    ):
        self.checkpoints, self.state, self.writer, self.claim = checkpoints, state, writer, claim
        self.failed = 0
        self.saved = state.step or None
        self._owed = self._told_late = False
        self._step, self._stall, self._error = 0, 0.0, ""
        self._snapshot = Snapshot(writer.memory, checkpoints.content(state), pin=pin)

    def __call__(self, *, due: bool, wait: bool) -> Iterator[Happening]:
        """Saves when it is `due`, or was and the writer was busy; yields what there is to tell.

        Args:
            wait: this is the run's last chance: return when the state is on disk.

        Raises:
            Fault: it cannot be brought there.
        """
        yield from self._listen(timeout=_PATIENCE if wait else 0.0)
        self._owed |= due or wait
        if self.writer.busy:
            if wait:
                raise Fault(self._hung())
            if due and self.writer.seconds > _LATE and not self._told_late:
                self._told_late = True
                yield "checkpoint late", {"of": self._step, "seconds": round(self.writer.seconds)}
        elif self._owed:
            self._send()
            if self._snapshot.trouble:
                yield "checkpoints stall", {"cause": f"memory cannot be pinned: {self._snapshot.trouble}"}
                self._snapshot.trouble = None
            if wait:
                yield from self._finish()

    def _finish(self) -> Iterator[Happening]:
        for k in range(_TRIES):
            yield from self._listen(timeout=_PATIENCE)
            if self.writer.busy:
                raise Fault(self._hung())
            if self.saved == self.state.step:
                return
            if k + 1 < _TRIES:
                self._send()
        newest = "there is none" if self.saved is None else f"the newest is of step {self.saved}"
        raise Fault(
            f"the checkpoint of step {self.state.step} cannot be written to {self.checkpoints.folder}: "
            f"{self._error}; {newest}. Mend that, and the same command goes on from the newest"
        )

    def _send(self) -> None:
        started = time.perf_counter()
        pieces = self._snapshot.take(self.checkpoints.content(self.state))
        last, previous = self.checkpoints.last, self.checkpoints.previous
        self.writer.send(Order(last=last, previous=previous, claim=self.claim, pieces=pieces))
        self._owed = self._told_late = False
        self._step, self._stall = self.state.step, time.perf_counter() - started

    def _listen(self, *, timeout: float) -> Iterator[Happening]:
        answer = self.writer.answer(timeout=timeout) if self.writer.busy else None
        if answer is None:
            return
        if answer.error is None:
            self.saved = self._step
            stall, seconds = round(self._stall, 4), round(answer.seconds, 3)
            yield "checkpoint", {"of": self._step, "stall": stall, "seconds": seconds}
        else:
            self._error = answer.error
            self.failed += 1
            yield "checkpoint failed", {"of": self._step, "cause": answer.error, "failed_saves": self.failed}

    def _hung(self) -> str:
        return (
            f"the checkpoint of step {self._step} is still not written after {self.writer.seconds:.0f} s; "
            f"does {self.checkpoints.folder} answer? The same command goes on from the newest"
        )


class NoKeeper:
    """What ranks that write nothing have instead."""

    failed = 0

    def __call__(self, *, due: bool, wait: bool) -> Iterator[Happening]:
        return iter(())
