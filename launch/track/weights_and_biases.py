"""Weights & Biases: one run per training, offline unless a key is set, and never in training's way."""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from launch.engine.ports import Record
from launch.track.connection import reachable
from launch.track.summary import Summary

CLOCK = ("kind", "time", "weights", "event", "final")


class WeightsAndBiases:
    """Writes a run to W&B from a thread of its own.

    Every call of wandb's is made in that thread. `write` only puts the record into a queue, so training waits
    neither for the start nor for the network. The first failure is said once; after it the tracker is silent.
    Uploaded are the resolved configuration, the metrics, the names of bad images and hardware use; no code,
    diff, git remote, console output, command line, installed packages or environment.

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
        finish_wait: float = 20.0,
    ) -> None:
        self.mode = "starting"
        self.url: str | None = None
        self._folder, self._facts, self._say = folder.resolve(), facts, say
        self._online_wait, self._finish_wait = online_wait, finish_wait
        self._summary = Summary()
        for record in earlier:
            self._summary.add(record)
        self._queue: queue.SimpleQueue[Record | str] = queue.SimpleQueue()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        if self.mode not in ("disabled", "failed"):
            self._queue.put(dict(record))

    def wait(self, timeout: float) -> bool:
        """Waits until the run has started or given up, at most `timeout` seconds; returns whether it has."""
        return self._started.wait(timeout)

    def close(self, *, state: str) -> None:
        """Finishes the run: exit code 0 when `state` is done, else 1; a requeue is marked as preemption."""
        self._queue.put(state)
        limit = self._finish_wait + 10 + (0 if self._started.is_set() else self._online_wait)
        self._thread.join(limit)
        if self._thread.is_alive():
            self._say(f"W&B did not finish within {limit:.0f} s; its files stay in {self._folder / 'wandb'}")
            self.mode = "failed"

    def _work(self) -> None:
        name, before = "WANDB_DATA_DIR", os.environ.get("WANDB_DATA_DIR")
        os.environ[name] = before or str(self._folder / "wandb" / "data")
        run: Any = None
        try:
            run = self._start()
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
            _teardown()
            if before is None:
                os.environ.pop(name, None)

    def _follow(self, run: Any) -> None:
        if self.url:
            self._say(f"W&B: {self.url}")
        while not isinstance(item := self._queue.get(), str):
            self._log(run, item)
        run.summary["state"] = item
        if item == "requeue":
            run.mark_preempting()
        run.finish(exit_code=0 if item == "done" else 1)
        if self.url:
            self._say(f"W&B: {self.url}")

    def _fail(self, error: BaseException) -> None:
        self.mode = "failed"
        first = str(error).strip().partition("\n")[0]
        self._say(
            f"W&B stopped ({type(error).__name__}: {first[:200]}); training goes on, metrics.jsonl has it all"
        )

    def _start(self) -> Any | None:
        if os.environ.get("WANDB_MODE") == "disabled":
            self.mode = "disabled"
            return None
        began = time.monotonic()
        import wandb

        wandb.setup(wandb.Settings(silent=True, console="off"))
        if self._wants_online(wandb):
            # wandb takes up to 10 s more than it is given: https://github.com/wandb/wandb, sdk/mailbox.
            left = self._online_wait - 10 - (time.monotonic() - began)
            try:
                return self._begin(wandb, mode="online", init_timeout=max(left, 1.0))
            except Exception as error:
                first = str(error).strip().partition("\n")[0]
                _teardown()  # else the id counts as in use
                self._offline(f"W&B did not answer ({type(error).__name__}: {first[:120]})")
        return self._begin(wandb, mode="offline", init_timeout=60.0)

    def _wants_online(self, wandb: Any) -> bool:
        settings = wandb.setup().settings
        if settings.mode in ("offline", "dryrun"):
            return False
        try:
            has_key = wandb.login(prompt=False, verify=False)
        except Exception as error:
            self._offline(f"the W&B key is not usable ({type(error).__name__})")
            return False
        if not has_key:
            if os.environ.get("WANDB_MODE") == "online":
                self._offline("WANDB_MODE is online, but no key is set (wandb login, or WANDB_API_KEY)")
            return False
        if not reachable(settings.base_url, timeout=min(4.0, self._online_wait)):
            self._offline(f"{urlsplit(settings.base_url).hostname} cannot be reached")
            return False
        return True

    def _offline(self, why: str) -> None:
        self._say(
            f"{why}; the W&B run is kept offline: wandb sync {self._folder / 'wandb' / 'offline-run-*'}"
        )

    def _begin(self, wandb: Any, *, mode: str, init_timeout: float) -> Any:
        facts = self._facts
        config = dict(facts["run"]) | {"dataset": facts.get("data")}
        config |= {
            k: facts[k] for k in ("variant", "official", "earlier", "plan", "found", "versions") if k in facts
        }
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "rexnet"),
            id=facts["wandb"]["id"],
            resume="allow",
            name=f"{facts['recipe']}-{facts['identity']}",
            group=facts["recipe"],
            tags=[t for t in (facts.get("variant"), (facts.get("data") or {}).get("name")) if t],
            config=config,
            allow_val_change=True,
            dir=str(self._folder),
            mode=mode,
            settings=wandb.Settings(
                init_timeout=init_timeout,
                finish_timeout=self._finish_wait,
                silent=True,
                console="off",
                host="",
                use_dot_wandb=False,
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                save_code=False,
                x_disable_meta=True,
                x_save_requirements=False,
                # Slurm's signals end W&B's service too, and with it what it has not yet written.
                x_transaction_log_flush_interval=2.0,
            ),
        )
        for axis in ("epoch", "images_seen"):
            run.define_metric(axis, hidden=True)
        for group in ("train/*", "eval/*", "eval-model/*", "official/*", "gap/*"):
            run.define_metric(group, step_metric="epoch")
        for group in ("speed/*", "health/*"):
            run.define_metric(group, step_metric="images_seen")
        run.summary.update(self._summary.values)
        self.mode, self.url = mode, run.url if mode == "online" else None
        return run

    def _log(self, run: Any, record: Record) -> None:
        self._summary.add(record)
        if record["kind"] == "event":
            if record.get("event") == "bad image":
                run.summary.update(self._summary.values)
            return
        # The final weights are evaluated beside their average; only the average's is the run's curve.
        row = {k: v for k, v in record.items() if k not in CLOCK}
        if record.get("weights") == "model" and self._summary.averaged:
            kept = {k: v for k, v in row.items() if not k.startswith(("official/", "gap/"))}
            row = {k.replace("eval/", "eval-model/"): v for k, v in kept.items()}
        run.log(row)
        if record["kind"] == "eval":
            run.summary.update(self._summary.values)


def _teardown() -> None:
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        with suppress(Exception):  # the run is closed; a service that will not end cleanly has nothing to add
            wandb.teardown()
