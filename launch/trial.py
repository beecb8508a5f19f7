"""One attempt at one run, as one node of a job sees it: a child that trains, and what follows. No torch."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from launch.history import History, Sign, upload_command
from launch.requeue import Decision
from launch.seat import Seat
from launch.slurm_record import exclude, job_signs, node_records

_DOCTOR = 300.0  # seconds that he may take


class RunEnded(RuntimeError):
    """The job is over, though its run is not finished; the message is for the user."""


@dataclass(kw_only=True, slots=True)
class Trial:
    """The first node's decides for all.

    Args:
        seat: which node of which job.
        history: the job's; all nodes know it, the first one writes it.
        attempt: how many there were before.
    """

    seat: Seat
    history: History
    attempt: int = field(init=False)
    child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    decision: Decision | None = field(default=None, init=False)
    restarted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.seat.attempt is not None:
            self.attempt = self.seat.attempt
        else:
            self.attempt = self.history.endings[-1].attempt + 1 if self.history.endings else 0

    @property
    def first(self) -> bool:
        """Whether this node decides."""
        return self.seat.node == 0

    @property
    def id(self) -> str:
        """Names this attempt among all of the cluster's jobs."""
        return f"{self.seat.job}.{self.attempt}"

    def begin(self) -> bool:
        """Returns whether the attempt may start; where not, the decision says what becomes of the job."""
        if self.first:
            known = "" if self.seat.local else node_records()
            decision = self.history.begin(self.attempt, nodes=self.seat.hosts, known=known)
            if decision.action != "go":
                self._settle(decision)
        return self.decision is None

    def start(self, command: Sequence[str], *, folder: str, environment: Mapping[str, str]) -> None:
        """Starts the child."""
        self._say(f"{', '.join(self.seat.hosts)}: {shlex.join(command)}")
        told = str(self.history.attempt_file(self.attempt))
        self.child = subprocess.Popen(command, cwd=folder, env={**environment, "REXNET_ATTEMPT": told})

    def examine(self, command: Sequence[str], *, folder: str, environment: Mapping[str, str]) -> int:
        """Has the doctor look at the nodes, and returns his exit code."""
        unlike = {"REXNET_PROGRAM": "doctor.py", "STAGE": "", "REXNET_ATTEMPT": ""}
        self.child = subprocess.Popen(command, cwd=folder, env={**environment, **unlike})
        deadline = time.monotonic() + _DOCTOR
        while not self._ended() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.ask()
        self.wait()
        child, self.child = self.child, None
        return child.wait()

    def give_up(self) -> None:
        """Settles that nothing is trained, for what the doctor has found."""
        if self.first:
            self.history.file.unlink(missing_ok=True)
        reason = "nothing was trained: mend what the table above calls an error, or export DOCTOR=no"
        self._settle(Decision(action="end", code=2, reason=reason))

    def ask(self) -> None:
        """Asks the child to save and to stop, if there is one."""
        if self.child is not None:
            os.kill(self.child.pid, signal.SIGUSR1)

    def wait(self) -> None:
        """Returns when the child has ended. It stays a zombie, as a signal may make this wait twice."""
        if self.child is not None:
            os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)

    def conclude(self, told: Collection[int]) -> Decision:
        """Returns what becomes of the job now that the child has ended; the same whenever it is asked.

        Args:
            told: the signals that this node was sent.
        """
        if self.decision is not None:
            return self.decision
        child, self.child = self.child, None
        status = 1 if child is None else child.wait()  # without one where the doctor was interrupted
        if not self.first:
            reason = f"node {self.seat.node} ended with {status}"
            self.decision = Decision(action="end", code=abs(status), reason=reason)
            return self.decision
        signs: list[Sign] = []
        known = ""
        if not self.seat.local:
            signs, known = job_signs(self.seat.job, attempt=self.attempt), node_records()
        elif signal.SIGTERM in told:
            signs.append("terminated")
        if signal.SIGUSR2 in told and "preempted" not in signs:
            signs.append("warned")
        self.restarted = "restarted" in signs
        decision = self.history.end(status=abs(status), signs=signs, known=known)
        self._say(f"ended: {self.history.endings[-1]} (exit code {status})")
        return self._settle(decision)

    @property
    def again(self) -> bool:
        """Whether the job is to be queued again, and Slurm has not done so by itself."""
        assert self.decision is not None
        return self.decision.action == "requeue" and not self.restarted

    def queue_again(self, way: Callable[[], object]) -> None:
        """Ends the process, with the job back in the queue.

        Args:
            way: puts it there.

        Raises:
            RunEnded: Slurm has refused.
        """
        assert self.decision is not None and self.decision.action == "requeue"
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # Slurm ends what runs here; scontrol is to be heard first
        try:
            if self.again:
                way()
            sys.exit(1)
        except subprocess.SubprocessError as error:
            raise RunEnded(
                f"Slurm did not queue job {self.seat.job} again ({error}); the same command goes on "
                "from the last checkpoint"
            ) from None
        finally:
            # Of a job that runs, this could not be changed.
            avoid = self.decision.avoid
            if avoid and (before := exclude(self.seat.job, avoid)) is not None:
                self._say(
                    f"without {', '.join(avoid)} from now on: three attempts failed there. "
                    f"Undo with: scontrol update JobId={self.seat.job} ExcNodeList={before}"
                )

    def _ended(self) -> bool:
        assert self.child is not None
        return os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _settle(self, decision: Decision) -> Decision:
        self.decision = decision
        if decision.action == "requeue" or decision.code:
            self._say(f"{'' if decision.action == 'requeue' else 'not '}queued again: {decision.reason}")
        if self.history.endings and (sync := upload_command(self.history.endings[-1])):
            self._say(f"W&B, where there is internet: {sync}")
        return decision

    def _say(self, line: str) -> None:
        if self.first:
            print(f"[job {self.seat.job}, attempt {self.attempt}] {line}", flush=True)
