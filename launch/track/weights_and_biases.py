"""Weights & Biases: one run per training, offline unless a key is set, and never in training's way."""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.engine.ports import Record
from launch.track.expectations import expected_at
from launch.track.summary import Summary
from launch.track.wandb_start import BESIDE, Start, sync_command, teardown

CLOCK = ("kind", "time", "weights", "event", "final")

_SLACK = 5.0  # seconds that the end may take beside the upload


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file to be shown, and what stands below it."""

    file: Path
    caption: str


class WeightsAndBiases:
    """Writes a run to W&B from a thread of its own.

    Every call of wandb's is made in that thread. `write` only puts the record into a queue, so training waits
    neither for the start nor for the network. The first failure is said once; after it the tracker is silent.
    Uploaded are the resolved configuration, the metrics, the names of bad images, hardware use and what
    `show` is given; no code, diff, git remote, console output, command line, installed packages, environment.

    Args:
        folder: the run's folder; W&B's files go to `wandb/` inside.
        facts: the content of run.json; recipe, identity, run and wandb.id must be there, and of the rest
            variant, data, official, earlier, plan, found and versions are read.
        say: shows one line; called from the thread.
        earlier: records of earlier attempts, from which the summaries go on.
        online_wait: seconds that the start may try to reach W&B before the run is kept offline.
        finish_wait: seconds that the end may spend on uploading; what is left stays for `wandb sync`.

    Attributes:
        mode: "online", "offline", "disabled", "failed" once started; "starting" before.
        url: the run's page, when online.
    """

    def __init__(
        self,
        folder: Path,
        *,
        facts: Mapping[str, Any],
        say: Callable[[str], None],
        earlier: Sequence[Record] = (),
        online_wait: float = 20.0,
        finish_wait: float = 15.0,
    ) -> None:
        self.mode = "starting"
        self.url: str | None = None
        self._folder, self._say, self._id = folder.resolve(), say, facts["wandb"]["id"]
        self._start = Start(
            folder=self._folder, facts=facts, say=say, online_wait=online_wait, finish_wait=finish_wait
        )
        self._expected = (facts.get("expected") or {}).get("points", [])
        self._summary = Summary()
        for record in earlier:
            self._summary.add(record)
        self._queue: queue.SimpleQueue[Record | Picture | str] = queue.SimpleQueue()
        self._began = time.monotonic()
        self._started = threading.Event()
        self._online: str | None = None  # the name of this attempt's piece, while not all of it is there
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        if self.mode not in ("disabled", "failed"):
            self._queue.put(dict(record))

    def show(self, picture: Picture) -> None:
        """Uploads a picture, without waiting for it."""
        self._queue.put(picture)

    def wait(self, timeout: float) -> bool:
        """Waits until the run has started or given up, at most `timeout` seconds; returns whether it has."""
        return self._started.wait(timeout)

    def close(self, *, state: str) -> None:
        """Finishes the run: exit code 0 when `state` is done, else 1; a requeue is marked as preemption.

        Waits for what is left of the start or, once started, for the upload, and 5 s at most beside.
        """
        self._queue.put(state)
        starting = self._began + self._start.online_wait - time.monotonic()
        limit = _SLACK + (self._start.finish_wait if self._started.is_set() else max(starting, 0.0))
        self._thread.join(limit)
        if self._thread.is_alive():
            self._say(f"W&B did not finish within {limit:.0f} s; its files stay in {self._folder / 'wandb'}")
            self.mode = "failed"

    @property
    def words(self) -> str | None:
        """Where the run is to be seen, and the command that uploads the rest; once the tracker is closed."""
        pieces = (self._folder / "wandb").glob(f"offline-run-*-{self._id}")
        offline = any(not list(piece.glob("*.wandb.synced")) for piece in pieces)
        command = sync_command(self._folder, self._id, offline=offline, online=self._online)
        upload = f"to upload it: {command}" if offline or self._online else ""
        if self.url:
            return f"W&B: {self.url}" + (f"; not all of it is there, {upload}" if upload else "")
        return f"W&B: this run is kept offline; {upload}" if upload else None

    def _work(self) -> None:
        name, before = "WANDB_DATA_DIR", os.environ.get("WANDB_DATA_DIR")
        os.environ[name] = before or str(self._folder / "wandb" / "data")
        run: Any = None
        try:
            run, mode = self._start()
            if mode == "online":
                self.url, self._online = run.url, Path(run.dir).parent.name
            self.mode = mode
            self._started.set()
            if run is not None:
                self._follow(run)
        except Exception as error:
            self._fail(error)
            if run is not None:
                with suppress(Exception):  # what has been written is still closed, if that is possible
                    run.finish(exit_code=1)
        finally:
            self._started.set()
            teardown()
            if before is None:
                os.environ.pop(name, None)

    def _follow(self, run: Any) -> None:
        run.summary.update(self._summary.values)
        if self.url:
            self._say(f"W&B: {self.url}")
        while not isinstance(item := self._queue.get(), str):
            if isinstance(item, Picture):
                self._draw(run, item)
            else:
                self._log(run, item)
        run.summary.update({**self._summary.values, "state": item})
        if item == "requeue":
            run.mark_preempting()
        with suppress(TimeoutError):  # the rest stays on disk
            run.finish(exit_code=0 if item == "done" else 1)
            self._online = None

    def _fail(self, error: BaseException) -> None:
        self.mode = "failed"
        first = str(error).strip().partition("\n")[0]
        self._say(
            f"W&B stopped ({type(error).__name__}: {first[:200]}); training goes on, metrics.jsonl has it all"
        )

    def _draw(self, run: Any, picture: Picture) -> None:
        import wandb

        run.log({"images/train": wandb.Image(str(picture.file), caption=picture.caption)})

    def _log(self, run: Any, record: Record) -> None:
        self._summary.add(record)
        if record["kind"] == "event":
            if record.get("event") == "bad image":
                run.summary.update(self._summary.values)
            return
        # The final weights are evaluated beside their average; only the average's is the run's curve.
        row = {k: v for k, v in record.items() if k not in CLOCK}
        if "eval/acc1" in record and (expected := expected_at(self._expected, float(record["epoch"]))):
            row["expected/acc1"] = expected
        if record.get("weights") == "model":
            kept = {k: v for k, v in row.items() if not k.startswith(BESIDE)}
            row = {k.replace("eval/", "eval-model/"): v for k, v in kept.items()}
        run.log(row)
        if record["kind"] == "eval":
            run.summary.update(self._summary.values)
