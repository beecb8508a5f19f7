"""One node's part of a job under submitit, which keeps it on disk and calls it on each node.

On the first node submitit's handler of SIGUSR2 calls `checkpoint` and queues the job again. Plain SIGTERM,
all that some clusters send before they take a node, it lets pass, so that is answered here. No torch.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING

from launch.history import History
from launch.requeue import Decision
from launch.seat import Seat, find_seat
from launch.trial import RunEnded, Trial

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

Handler = Callable[[int, FrameType | None], object]

_PATIENCE = 60.0  # seconds that a node which has failed leaves the first one to say why


@dataclass(kw_only=True)
class NodeTask:
    """What submitit pickles and calls.

    Attributes:
        checkout: the folder that holds slurm/ and launch/.
        python: what runs torchrun.
        folder: where the user stood; paths in the arguments are relative to it.
        trainings: arguments of launch/train.py, one run after the other.
        processes: per node.
        devices: CUDA_VISIBLE_DEVICES where the job was submitted, for one on that machine.
        begun: index of the training that an earlier attempt of the job came to.
        failed: why those before it are not finished.
    """

    checkout: str
    python: str
    folder: str
    trainings: tuple[tuple[str, ...], ...]
    processes: int
    devices: str | None = None
    begun: int = 0
    failed: tuple[str, ...] = ()
    trial: Trial | None = field(default=None, init=False, repr=False)
    told: set[int] = field(default_factory=set, init=False, repr=False)

    def one_each(self) -> list[NodeTask]:
        """Returns a task for each of the trainings."""
        return [replace(self, trainings=(training,)) for training in self.trainings]

    def __call__(self) -> str:
        """Trains; returns how this went.

        Raises:
            RunEnded: the job is over, though a run is not finished.
            SystemExit: the job goes back into the queue.
        """
        try:
            return self._train_all(find_seat(os.environ))
        except RunEnded:
            sys.tracebacklimit = 0  # submitit prints the traceback, which would tell the user nothing
            raise

    def checkpoint(self) -> DelayedSubmission | None:
        """Asks the trainers to save and to stop, waits until they have, and returns the same job.

        None where that is not to go on; submitit then raises an UncompletedJobError.
        """
        from submitit.core.utils import DelayedSubmission

        assert self.trial is not None
        self._ask(signal.SIGUSR2)
        self.trial.wait()
        self.trial.conclude(self.told)
        return DelayedSubmission(replace(self)) if self.trial.again else None

    def _train_all(self, seat: Seat) -> str:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask)
        # submitit's handler may act as long as there is a child to wait for.
        queue_again = signal.signal(signal.SIGUSR2, self._ask)
        assert callable(queue_again)
        end = None
        for index in range(self.begun, len(self.trainings)):
            self.begun = index
            name = f"{seat.job}-{index}" if len(self.trainings) > 1 else seat.job
            self.trial = Trial(seat=seat, history=History(seat.folder, name))
            end = self._train(self.trial, self.trainings[index], queue_again)
            if end.code:
                self.failed += (end.reason,)
            if self.told:
                break
        if self.failed:
            if seat.node:
                time.sleep(_PATIENCE)  # our end ends the first node's task, too
            raise RunEnded("; ".join(self.failed))
        assert end is not None
        return end.reason

    def _train(self, trial: Trial, training: Sequence[str], queue_again: Handler) -> Decision:
        """Makes one attempt at one run; on the first node, to what is decided of it."""
        from submitit.core.utils import UncompletedJobError

        place = {"folder": self.folder, "environment": self._environment(trial.seat)}
        sound = trial.begin()
        if sound and os.environ.get("DOCTOR") != "no":
            sound = trial.examine(self._examination(trial, training), **place) == 0
            if not sound and not self.told:
                trial.give_up()
        if sound and not self.told:
            trial.start(self._command(trial, training), **place)
            with suppress(UncompletedJobError):  # by submitit's handler, where `checkpoint` has returned None
                signal.signal(signal.SIGUSR2, queue_again)
                if self.told:  # when there was nobody to ask yet
                    trial.ask()
                trial.wait()
                signal.signal(signal.SIGUSR2, self._ask)
            signal.signal(signal.SIGUSR2, self._ask)
        decision = trial.conclude(self.told)
        if decision.action == "requeue":
            trial.queue_again(lambda: queue_again(signal.SIGUSR2, None))
        return decision

    def _examination(self, trial: Trial, training: Sequence[str]) -> list[str]:
        host, _, port = trial.seat.rendezvous.rpartition(":")
        world = (
            str(len(trial.seat.hosts)),
            str(self.processes),
            f"{host}:{int(port) + 1}",
            f"{trial.id}.doctor",
        )
        return ["bash", f"{self.checkout}/slurm/node.sh", self.python, *world, *training, "--quick"]

    def _command(self, trial: Trial, training: Sequence[str]) -> list[str]:
        world = (str(len(trial.seat.hosts)), str(self.processes), trial.seat.rendezvous, trial.id)
        return ["bash", f"{self.checkout}/slurm/node.sh", self.python, *world, *training]

    def _environment(self, seat: Seat) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SUBMITIT_")}
        if seat.local:  # submitit shows a task no GPU that it was not asked for
            del environment["CUDA_VISIBLE_DEVICES"]
            environment |= {} if self.devices is None else {"CUDA_VISIBLE_DEVICES": self.devices}
        return environment

    def _ask(self, number: int, frame: FrameType | None = None) -> None:
        self.told.add(number)
        if self.trial is not None:
            self.trial.ask()
