"""What is remembered of a job between its attempts: a JSON file beside their attempt files. No torch."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from launch.folder import write_json
from launch.requeue import Decision, Ending, decide, resume

Sign = Literal["terminated", "restarted", "preempted", "warned"]
SIGNS: tuple[Sign, ...] = get_args(Sign)

_GONE = ("DOWN", "NOT_RESPONDING", "FAIL")
_CHECKPOINTS = ("last.pt", "previous.pt")


@dataclass(slots=True)
class History:
    """The attempts of one job.

    Args:
        folder: all nodes see it.
        job: names the job in it.
    """

    folder: Path
    job: str
    endings: list[Ending] = field(default_factory=list)
    avoided: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.file.exists():
            record = json.loads(self.file.read_text())
            self.endings = [_ending(entry) for entry in record["endings"]]
            self.avoided = record["avoided"]

    @property
    def file(self) -> Path:
        """Where this is written."""
        return self.folder / f"{self.job}.json"

    def attempt_file(self, attempt: int) -> Path:
        """Where the trainer says how an attempt ends: for REXNET_ATTEMPT."""
        return self.folder / f"{self.job}.{attempt}.json"

    def begin(self, attempt: int, *, nodes: Sequence[str], known: str = "") -> Decision:
        """Notes that an attempt begins, and returns whether it may.

        Args:
            known: what `scontrol -o show node` says, to find the nodes that an earlier attempt was lost on.
        """
        if self.endings and self.endings[-1].attempt >= attempt:  # an old job's that had the same number
            self.endings, self.avoided = [], []
        elif self.endings and (self.endings[-1].terminated or not self.endings[-1].over):
            last = self.endings.pop()
            last = last if last.over else self._told(last)
            self.endings.append(_restarted(last, known=known))
        decision = resume(self.endings, nodes=nodes, avoided=self.avoided)
        self.attempt_file(attempt).unlink(missing_ok=True)
        if decision.action == "go":
            self._write()
            began = self.file.stat().st_mtime  # by the clock of the file server, as checkpoints have it
            self.endings.append(Ending(attempt=attempt, nodes=tuple(nodes), began=began, over=False))
        return self._keep(decision)

    def end(self, *, status: int, signs: Collection[Sign] = (), known: str = "") -> Decision:
        """Notes how the last attempt has ended, and returns what follows.

        Args:
            status: exit code of what started the trainer.
            signs: what else is known, see `Ending`.
            known: as for `begin`.
        """
        told = replace(self._told(self.endings.pop()), status=status, **{sign: True for sign in signs})
        self.endings.append(_restarted(told, known=known) if told.restarted else told)
        return self._keep(decide(self.endings, avoided=self.avoided))

    def _told(self, ending: Ending) -> Ending:
        """Adds what the trainer and the run's folder say."""
        file, told = self.attempt_file(ending.attempt), {}
        with suppress(FileNotFoundError, ValueError):
            told = json.loads(file.read_text())
        file.unlink(missing_ok=True)
        step, earlier = told.get("step"), [e.step for e in self.endings if e.step is not None]
        later = step is None or not earlier or step > max(earlier)
        hosts = [host.partition(".")[0] for host in told.get("hosts", ())]
        saved = _newest(told.get("folder"))
        advanced = later and (step is not None if saved is None else saved > ending.began)
        return replace(
            ending,
            over=True,
            state=told.get("state", ""),
            step=step,
            message=" ".join(str(told.get("message", "")).split()),
            blamed=tuple(host for host in hosts if host in ending.nodes),
            folder=told.get("folder"),
            advanced=advanced,
        )

    def _keep(self, decision: Decision) -> Decision:
        self.avoided = [*self.avoided, *decision.avoid]
        if decision.action == "end" and not self.endings[-1].terminated:
            self.file.unlink(missing_ok=True)
        else:
            self._write()
        return decision

    def _write(self) -> None:
        endings = [asdict(ending) for ending in self.endings]
        write_json(self.file, {"endings": endings, "avoided": self.avoided})


def upload_command(ending: Ending) -> str:
    """Returns what brings the offline pieces of a run's W&B run to the server, empty where all are there."""
    if ending.folder is None or not ending.over:
        return ""
    pieces = Path(ending.folder) / "wandb"
    if all(any(piece.glob("*.synced")) for piece in pieces.glob("offline-run-*")):
        return ""
    return f"wandb sync {shlex.quote(str(pieces))}/offline-run-*"


def _ending(entry: dict[str, Any]) -> Ending:
    lists = {name: tuple(entry[name]) for name in ("nodes", "blamed")}
    return Ending(**{**entry, **lists})


def _restarted(ending: Ending, *, known: str) -> Ending:
    """Returns the ending of an attempt after which Slurm has started the job again by itself."""
    return replace(ending, restarted=True, blamed=ending.blamed or _lost(ending, known))


def _newest(folder: str | None) -> float | None:
    """Returns the time of the newest checkpoint in a folder, 0 for none, None where there is no folder."""
    if folder is None or not Path(folder).is_dir():
        return None
    files = [Path(folder) / name for name in _CHECKPOINTS]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _lost(ending: Ending, known: str) -> tuple[str, ...]:
    """Returns the attempt's nodes that Slurm holds for dead, or that have started anew since it began."""
    lost = []
    for line in known.splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        if fields.get("NodeName") in ending.nodes:
            gone = any(state in fields.get("State", "") for state in _GONE)
            if gone or _seconds(fields.get("SlurmdStartTime")) > ending.began:
                lost.append(fields["NodeName"])
    return tuple(lost)


def _seconds(text: str | None) -> float:
    try:
        return time.mktime(time.strptime(text or "", "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0
