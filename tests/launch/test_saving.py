"""What can happen to the folder that a run is written into, while it runs."""

import json
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import synthetic
from tests.launch.end_state import differences, measured
from tests.launch.program import command, environment, records, run, until

FLAGS = (
    *("--epochs", 500, "--batch", 16, "--micro-batch", 16, "--image-size", 32, "--variant", "rexnet_0.2"),
    *("--log-every", 1, "--checkpoint-minutes", 0),
)
ONCE = ("--epochs", 1, "--batch", 8, "--micro-batch", 8, "--checkpoint-minutes", 10)
"""75 steps without a checkpoint on the way."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("saving") / "set", classes=3, train=600, val=12)


class Training:
    """A run in its folder, whose output goes into a file beside it."""

    def __init__(self, data: Path, folder: Path, *flags: object):
        self.folder, self.log = folder, folder.with_suffix(".txt")
        arguments = command("train", "demo", "--data", data, "--out", folder, *FLAGS, *flags)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment())

    def event(self, name: str) -> dict[str, Any] | None:
        """Returns the last event of that name which is on disk."""
        found = [line for line in self.lines() if line.get("event") == name]
        return found[-1] if found else None

    def lines(self) -> list[dict[str, Any]]:
        try:
            return records(self.folder)
        except (FileNotFoundError, ValueError):  # not yet, or half a line
            return []

    def has_saved(self) -> bool:
        """Whether it has trained in this attempt, and a checkpoint is there."""
        return "  loss " in self.log.read_text() and (self.folder / "last.pt").exists()

    def trained(self) -> int:
        """Returns the last step that it has shown."""
        return max(map(int, re.findall(r"  step (\d+)/", self.log.read_text())), default=0)

    def writer(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (pid,) = [c for c in children if "launch.engine.writer" in Path(f"/proc/{c}/cmdline").read_text()]
        return int(pid)

    def attempt(self) -> dict[str, Any]:
        return json.loads((self.folder / "attempt.json").read_text())

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def training(data: Path, folder: Path, *flags: object) -> Iterator[Training]:
    """Starts a run; it has saved at least once, or where `flags` are given, trained some steps."""
    started = Training(data, folder, *flags)
    try:
        ready = (lambda: started.trained() > 5) if flags else started.has_saved
        until(lambda: started.process.poll() is not None or ready())
        assert started.process.poll() is None, started.log.read_text()
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def saved_step(folder: Path) -> int:
    return torch.load(folder / "last.pt", weights_only=True)["state"]["step"]


def test_a_second_start_and_a_full_disk(data: Path, tmp_path: Path) -> None:
    """One after the other in one run, since a start takes seconds."""
    folder = tmp_path / "run"
    with training(data, folder) as first:
        second = run("train", "demo", "--data", data, "--out", folder, *FLAGS, cwd=tmp_path)
        assert second.returncode == 2
        assert f"is being trained by process {first.process.pid} on " in second.stderr
        assert "last heartbeat" in second.stderr and "Traceback" not in second.stderr
        assert first.attempt()["message"] == "ended from outside, without a word"  # not the second's

        whole = resource.prlimit(first.writer(), resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        noticed = until(lambda: first.event("checkpoint failed"))
        assert noticed < 15
        stood_at = saved_step(folder)
        last = first.lines()[-1]["step"]
        until(lambda: first.lines()[-1]["step"] > last)  # it trains on
        assert [r for r in first.lines() if r["kind"] == "train"][-1]["health/failed_saves"] >= 1
        resource.prlimit(first.writer(), resource.RLIMIT_FSIZE, whole)
        until(lambda: saved_step(folder) > stood_at)  # and saves again where there is room
        resource.prlimit(first.writer(), resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        assert first.end() == 1
        told = first.log.read_text()
        assert "CHECKPOINT FAILED at step" in told and "Traceback" not in told
        assert first.attempt()["state"] == "fault"
        assert f"cannot be written to {folder}: [Errno 27] File too large; the newest is of step" in told
        assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]


def test_metrics_that_a_full_disk_refuses_for_a_while(data: Path, tmp_path: Path) -> None:
    """The limit falls into a line of metrics, beside a run that nobody disturbs."""
    with training(data, tmp_path / "plain", *ONCE) as plain, training(data, tmp_path / "full", *ONCE) as full:
        size = (full.folder / "metrics.jsonl").stat().st_size
        limit = (size + 1500, resource.RLIM_INFINITY)
        whole = resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, limit)
        until(lambda: "metrics.jsonl cannot be written" in full.log.read_text())
        refused = full.trained()
        until(lambda: full.trained() > refused + 5)  # it trains on
        assert (full.folder / "metrics.jsonl").read_bytes().endswith(b"}\n")
        assert records(full.folder)[-1]["step"] <= refused
        resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, whole)
        assert (full.process.wait(240), plain.process.wait(240)) == (0, 0)
        said = full.log.read_text()
        assert said.count("metrics.jsonl cannot be written: [Errno 27] File too large") == 1
        assert "is lost" not in said and full.attempt()["state"] == "done"
        assert differences(full.folder, plain.folder) == []
        events = [[r.get("event") for r in records(run.folder)] for run in (full, plain)]
        assert events[0] == events[1] and len(measured(full.folder)) == 77


@pytest.mark.slow
def test_metrics_and_results_that_cannot_be_written_at_the_end(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    metrics = folder / "metrics.jsonl"
    with training(data, folder, *ONCE) as started:
        whole = metrics.rename(tmp_path / "kept")
        metrics.mkdir()
        assert started.process.wait(240) == 1
        said = started.log.read_text()
        assert "Traceback" not in said and said.count("is lost") == 1
        ending = started.attempt()
        assert (ending["state"], ending["step"]) == ("fault", 75)
        assert "cannot be written: [Errno 21] Is a directory" in ending["message"]
        assert ending["message"].endswith("the same command goes on from the newest checkpoint")
    metrics.rmdir()
    whole.rename(metrics)
    blocked = folder / "predictions.npz.tmp.npz"
    blocked.mkdir()
    again = run("train", "demo", "--data", data, "--out", folder, *FLAGS, *ONCE)
    assert again.returncode == 1 and "Traceback" not in again.stderr
    assert f"the results cannot be written to {folder}: [Errno 21] Is a directory" in again.stderr
    blocked.rmdir()
    again = run("train", "demo", "--data", data, "--out", folder, *FLAGS, *ONCE)
    assert again.returncode == 0, again.stderr
    assert records(folder)[-1]["event"] == "end"


@pytest.mark.slow
def test_a_run_that_was_taken_over_stops_and_writes_nothing_more(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training(data, folder) as silent:
        (lock,) = folder.glob("lock.*")
        facts = json.loads(lock.read_text()) | {"token": "another"}
        lock.with_name(f"lock.{int(lock.suffix[1:]) + 1}").write_text(json.dumps(facts))
        assert silent.process.wait(30) == 1
        assert f"another process has taken {folder} over" in silent.log.read_text()
        assert "Traceback" not in silent.log.read_text()
        assert silent.attempt()["message"] == "ended from outside, without a word"
        trained = [r["step"] for r in silent.lines() if r["kind"] == "train"]
        assert f"step {max(trained)}/" in silent.log.read_text()
    assert '"token": "another"' in lock.with_name(f"lock.{int(lock.suffix[1:]) + 1}").read_text()


@pytest.mark.slow
def test_a_folder_that_vanishes(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training(data, folder) as started:
        kept = folder.with_name("kept")
        folder.rename(kept)
        noticed = until(lambda: "CHECKPOINT FAILED" in started.log.read_text())
        assert noticed < 15
        kept.rename(folder)  # a network folder that is there again
        before = saved_step(folder)
        until(lambda: saved_step(folder) > before)
        shutil.rmtree(
            folder.rename(folder.with_name("deleted"))
        )  # at once: with half of it left, the claim is lost
        failures = started.log.read_text().count("CHECKPOINT FAILED")
        until(lambda: started.log.read_text().count("CHECKPOINT FAILED") > failures)
        folder.mkdir()
        until((folder / "last.pt").exists)
        assert started.end() == 0
        assert started.attempt()["state"] == "requeue"
    with training(data, folder) as again:
        assert "resume at step" in again.log.read_text()
