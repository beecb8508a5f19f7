"""The ranks agree that one of them was asked to stop."""

from collections.abc import Callable, Generator
from contextlib import closing

import torch
import torch.distributed as dist

from launch.engine.ports import MicroBatch
from launch.engine.preemption import StopRequest
from launch.engine.pulse import Pulse

_EVERY = 4  # batches between two questions: ranks then need not keep step


class Interrupted(Exception):
    """All ranks have left an evaluation, since one of them was asked to stop."""


class Agreement:
    """Whether any rank was asked to stop, by a maximum over the ranks; all of them must ask equally often.

    Args:
        group: connects the hosts' memory; None is the default group.
    """

    def __init__(self, stop: StopRequest, *, group: dist.ProcessGroup | None = None):
        self.stop, self.group = stop, group
        self._flag = torch.zeros(1, dtype=torch.int32)
        self._work: dist.Work | None = None

    def ask(self) -> bool:
        """Returns whether any rank had been asked to stop at the call before this one.

        Each call starts an asynchronous maximum that the next one reads, so that nobody waits.
        """
        told = self.read()
        self._flag.fill_(self.stop.asked)
        self._work = dist.all_reduce(self._flag, op=dist.ReduceOp.MAX, group=self.group, async_op=True)
        return told

    def read(self) -> bool:
        """Returns what the last question came to, once all ranks have asked it."""
        if self._work is None:
            return False
        self._work.wait()
        self._work = None
        return bool(self._flag)


def interruptible(
    batches: Callable[[], Generator[MicroBatch]], *, most: int, agreement: Agreement, pulse: Pulse
) -> Generator[MicroBatch]:
    """Yields a rank's evaluation batches, and asks between them whether to stop.

    Args:
        most: batches of the rank that has most.

    Raises:
        Interrupted: some rank was asked to stop; on all ranks.
    """
    with closing(batches()) as stream:
        for number in range(most):
            if number % _EVERY == 0 and agreement.ask():
                raise Interrupted
            pulse.note("evaluating")
            with pulse.waiting_for_data():
                batch = next(stream, None)
            if batch is not None:
                yield batch
        agreement.read()
