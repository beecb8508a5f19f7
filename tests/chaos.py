"""Kills a training at random moments until it is done, and holds its end against an uninterrupted one's.

    python tests/chaos.py --kills 20 [--processes 3] [--seed 0] [--keep FOLDER]

Exit code 0: weights, averages, optimizer state, metrics and result are equal to the last bit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pipeline import synthetic
from tests.launch.end_state import differences
from tests.launch.program import command, environment, records

IMAGES = 200
BATCH = 48  # six micro-batches, for 1, 2, 3 or 6 processes
STEPS_PER_KILL = 3
FLAGS = ("--variant", "rexnet_0.2", "--image-size", 32, "--batch", BATCH, "--micro-batch", 8, "--lr", 0.05)
FLAGS = (
    *FLAGS,
    "--dropout",
    0.2,
    "--drop-path",
    0.1,
    "--mixup",
    0.2,
    "--log-every",
    1,
    "--checkpoint-minutes",
    0,
)
PATIENCE = 240.0  # seconds


@dataclass(frozen=True)
class Blow:
    """What is done to a run, and when."""

    name: str
    number: int
    whom: str
    """`rank`: one, by chance; `all`: every process of the run; `torchrun`; `writer`."""
    when: str
    """`start`: within the start; `steps`: some steps later; `saving`: while a checkpoint is being written."""


class Training:
    """One attempt at a run."""

    def __init__(self, arguments: list[str], folder: Path):
        self.folder = folder
        self.started = time.time()
        self.log = folder.with_suffix(".log")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment())

    def processes(self) -> dict[str, list[int]]:
        """Returns the pids of torchrun, ranks and writer."""
        found: dict[str, list[int]] = {"torchrun": [self.process.pid], "rank": [], "writer": []}
        ours = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                ours[int(entry.name)] = (words, parent)
        for pid, (words, _) in ours.items():
            if os.fsencode(self.folder) in words and pid != self.process.pid:
                found["rank"].append(pid)
        for pid, (words, parent) in ours.items():
            if parent in found["rank"] and any(b"launch.engine.writer" in word for word in words):
                found["writer"].append(pid)
        return found

    def steps(self) -> list[int]:
        """Returns the steps that this attempt has trained."""
        with suppress(FileNotFoundError, ValueError):  # none yet, or a line is being written
            return [r["step"] for r in records(self.folder, "train") if r["time"] > self.started]
        return []

    def seconds_to_first_step(self) -> float | None:
        """Returns the seconds from this attempt's start to its first step, or None where it trained none."""
        if not self.steps():
            return None
        times = [r["time"] for r in records(self.folder, "train")]
        return min(time for time in times if time > self.started) - self.started

    def until(self, when: str, chance: random.Random) -> None:
        """Waits for the moment, or the end of the run."""
        if when == "start":
            self._wait(lambda: False, seconds=chance.uniform(0.1, 6))
            return
        count = chance.randint(1, 2 * STEPS_PER_KILL - 1)
        self._wait(lambda: len(self.steps()) >= count, seconds=PATIENCE)
        if when == "saving":
            self._wait(lambda: any(self.folder.glob("last.*.tmp")), seconds=3)
        else:
            self._wait(lambda: False, seconds=chance.uniform(0, 0.2))

    def _wait(self, condition, *, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None and not condition():
            time.sleep(0.002)

    def strike(self, blow: Blow, chance: random.Random) -> None:
        found = self.processes()
        every = [pid for pids in found.values() for pid in pids]
        pids = found.get(blow.whom, every)
        for pid in pids if blow.whom == "all" else chance.sample(pids, min(len(pids), 1)):
            with suppress(ProcessLookupError):
                os.kill(pid, blow.number)

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"the run neither ends nor goes on; its log is {self.log}") from None


BLOWS = [
    Blow("SIGKILL", signal.SIGKILL, whom, when)
    for whom in ("rank", "all")
    for when in ("start", "steps", "steps", "saving", "saving")
]
BLOWS += [Blow("SIGTERM", signal.SIGTERM, "torchrun", when) for when in ("start", "steps", "saving")]
BLOWS += [Blow("SIGUSR1", signal.SIGUSR1, "rank", when) for when in ("steps", "saving")]
BLOWS += [Blow("SIGKILL", signal.SIGKILL, "writer", "saving")]


def is_done(folder: Path) -> bool:
    """Whether the run says that it has ended well."""
    file = folder / "attempt.json"
    return file.exists() and json.loads(file.read_text())["state"] == "done"


def blows(chance: random.Random) -> Iterator[Blow]:
    """Yields every kind once before any comes again."""
    while True:
        yield from chance.sample(BLOWS, len(BLOWS))


def chaos(work: Path, *, kills: int, processes: int, seed: int) -> bool:
    """Runs both trainings in `work` and prints what it did; returns whether they ended alike."""
    chance = random.Random(seed)
    data = synthetic.make(work / "set", classes=4, train=IMAGES, val=40)
    epochs = STEPS_PER_KILL * (kills + 2) * BATCH / IMAGES
    whole, killed = work / "whole", work / "killed"
    flags = ("demo", "--data", data, *FLAGS, "--epochs", epochs)
    calm = Training(command("train", *flags, "--out", whole, processes=processes), whole)
    if calm.wait():
        raise SystemExit(f"the uninterrupted run failed; its log is {calm.log}")
    arguments = command("train", *flags, "--out", killed, processes=processes)
    print(f"    {'signal':<8} {'to':<9} {'when':<7} {'trained':<11} exit  first step after")
    to_come = list(islice(blows(chance), kills))
    starts: list[float] = []
    while not is_done(killed):
        attempt = Training(arguments, killed)
        dealt = []
        while to_come and attempt.process.poll() is None and (not dealt or dealt[-1].whom == "writer"):
            dealt.append(to_come.pop(0))  # a run survives its writer, so more is to come
            attempt.until(dealt[-1].when, chance)
            attempt.strike(dealt[-1], chance)
        code, steps, seconds = attempt.wait(), attempt.steps(), attempt.seconds_to_first_step()
        starts += [] if seconds is None else [seconds]
        trained = f"{steps[0]} - {steps[-1]}" if steps else "-"
        took = "-" if seconds is None else f"{seconds:.1f} s"
        for blow in dealt[:-1]:
            print(f"    {blow.name:<8} {blow.whom:<9} {blow.when:<7}")
        last = dealt[-1] if dealt else Blow("none", 0, "", "")
        print(f"    {last.name:<8} {last.whom:<9} {last.when:<7} {trained:<11} {code:>4}  {took}", flush=True)
        if not dealt and code:
            raise SystemExit(f"the run failed although nobody touched it; its log is {attempt.log}")
    dealt = kills - len(to_come)
    print(f"{dealt} blows in {len(starts)} attempts that trained, the first steps of which came after")
    print(f"{median(starts):.1f} s in the median and {max(starts):.1f} s at most")
    left = [pid for pids in attempt.processes().values() for pid in pids if pid != attempt.process.pid]
    differing = differences(killed, whole)
    print(f"processes left behind: {left or 'none'}")
    print(f"differs from the uninterrupted run: {', '.join(differing) or 'nothing, to the last bit'}")
    return not differing and not left


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="how often (20)")
    parser.add_argument("--processes", type=int, default=3, choices=(1, 2, 3, 6), help="of the training (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and signals (0)")
    parser.add_argument("--keep", type=Path, help="a new folder for both runs, to be kept")
    given = parser.parse_args()
    sizes = {"kills": given.kills, "processes": given.processes, "seed": given.seed}
    if given.keep:
        given.keep.mkdir(parents=True)
        return 0 if chaos(given.keep.resolve(), **sizes) else 1
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return 0 if chaos(Path(folder), **sizes) else 1


if __name__ == "__main__":
    sys.exit(main())
