"""Whether a job goes back into the queue after an attempt, and why. No torch, no files, no Slurm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MOST_IDLE = 2
"""Attempts in a row without a new checkpoint after which a run gets no further one."""

MOST_FAILED = 3
"""Attempts that failed on one node after which the job avoids it."""

_TIME = (
    "time was up before the trainer could save, which it does at a line of metrics: take a smaller "
    "--log-every, or sbatch --signal=B:USR1@600 (submit.py: --notice 600)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How one attempt of a job has ended.

    Attributes:
        attempt: how often Slurm had started the job before.
        nodes: names of its nodes.
        began: when it began, in seconds since 1970.
        over: whether its end is known; one whose node is lost may leave no word.
        state: `done`, `requeue`, `user-error` or `fault`, as attempt.json says; empty where the trainer said
            nothing.
        step: the last step that the trainer speaks of.
        folder: the run's folder, where the trainer has told it.
        advanced: whether the attempt has written a checkpoint of a later step than any before it.
        blamed: the nodes it failed on, where that is known.
        status: exit code of what started the trainer.
        terminated: the job was ended from outside: by scancel, at the end of its time, or by Slurm, which
            then starts it again by itself.
        restarted: Slurm has started the job again by itself, so that nobody had to decide.
        preempted: Slurm has noted that it took the nodes for another job.
        warned: the time limit was near, and the trainer was asked to stop.
    """

    attempt: int
    nodes: tuple[str, ...] = ()
    began: float = 0.0
    over: bool = True
    state: str = ""
    step: int | None = None
    message: str = ""
    folder: str | None = None
    advanced: bool = False
    blamed: tuple[str, ...] = ()
    status: int = 0
    terminated: bool = False
    restarted: bool = False
    preempted: bool = False
    warned: bool = False

    def __str__(self) -> str:
        step = "" if self.step is None else f", step {self.step}"
        return f"{self.state or 'no word from the trainer'}{step}{', ' * bool(self.message)}{self.message}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of a job.

    Attributes:
        action: `go`: it may start; `requeue`: it goes back into the queue; `end`: it is over.
        code: exit code of the job where it is over.
        reason: for the log.
        avoid: nodes that it may not have again.
    """

    action: Literal["go", "requeue", "end"]
    code: int = 0
    reason: str = ""
    avoid: tuple[str, ...] = ()


def decide(endings: Sequence[Ending], *, avoided: Sequence[str] = ()) -> Decision:
    """Returns what follows the last of a job's attempts.

    Args:
        endings: of all attempts, in their order.
        avoided: nodes that the job has been told to avoid before.
    """
    last = endings[-1]
    if last.state == "done":
        return Decision(action="end", reason="the run is finished")
    if last.state == "user-error":
        return Decision(action="end", code=2, reason="there is something to change first, see above")
    if last.terminated and not last.restarted:
        return Decision(
            action="end", code=1, reason=_TIME if last.warned else "the job was ended from outside"
        )
    if last.restarted:
        why = "by Slurm itself" + (f", as {_named(last.blamed)} failed" if last.blamed else "")
    elif last.state == "requeue":
        why = (
            f"to go on from step {last.step}"
            if last.step is not None
            else "to go on from what was saved last"
        )
        why += f"; {_named(last.blamed)} failed" if last.blamed else ""
    elif last.preempted:
        why = "preempted before the trainer could save"
    elif last.warned:
        return Decision(action="end", code=last.status or 1, reason=_TIME)
    elif last.state == "fault":
        return Decision(action="end", code=last.status or 1, reason="it would end so again")
    else:
        return Decision(action="end", code=last.status, reason="the trainer said nothing of its end")
    # That Slurm took the nodes away says nothing of the run.
    counted = [ending for ending in endings if ending.advanced or not ending.preempted][-MOST_IDLE:]
    if len(counted) == MOST_IDLE and not any(ending.advanced for ending in counted):
        idle = " and ".join(str(ending.attempt) for ending in counted)
        return Decision(
            action="end",
            code=1,
            reason=f"attempts {idle} made no new checkpoint, so another would not either; the log says what "
            "ended them. With that mended, or more time (sbatch --time), the same sbatch command goes on",
        )
    return Decision(action="requeue", reason=why, avoid=nodes_to_avoid(endings, avoided=avoided))


def nodes_to_avoid(endings: Sequence[Ending], *, avoided: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the nodes that too many attempts failed on, without those `avoided` already."""
    failures = Counter(node for ending in endings for node in set(ending.blamed))
    return tuple(
        sorted(node for node, count in failures.items() if count >= MOST_FAILED and node not in avoided)
    )


def resume(endings: Sequence[Ending], *, nodes: Sequence[str], avoided: Sequence[str] = ()) -> Decision:
    """Returns whether an attempt may start on `nodes` after those that have ended.

    It may not where Slurm has started it again by itself although nothing comes of it, or on a node to avoid.
    """
    if not endings:
        return Decision(action="go")
    decision = decide(endings, avoided=avoided)
    if decision.action == "requeue" and not set(decision.avoid) & set(nodes):
        return Decision(action="go", reason=decision.reason)  # a job that runs takes no other nodes
    return decision


def _named(nodes: Sequence[str]) -> str:
    return " and ".join(nodes)
