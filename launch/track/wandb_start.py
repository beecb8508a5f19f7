"""How a W&B run starts: online where a key is set and the server answers, else offline. Never a prompt."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from launch.track.connection import reachable

_TEST = 4.0  # seconds that the connection test may take
_OVERRUN = 10.0  # wandb takes up to so much longer than it is given: wandb/sdk/mailbox


BESIDE = ("official/", "earlier/", "expected/", "gap/")
"""Groups of metrics that tell what the validation accuracy is held against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Starts a run's W&B run.

    Attributes:
        folder: the run's folder, resolved.
        facts: the content of run.json; see `WeightsAndBiases`.
        say: shows one line.
        online_wait: seconds that an online start may take.
        finish_wait: seconds that the end may spend on uploading.
    """

    folder: Path
    facts: Mapping[str, Any]
    say: Callable[[str], None]
    online_wait: float
    finish_wait: float

    def __call__(self) -> tuple[Any, str]:
        """Returns wandb's run and its mode: online or offline; None and disabled by WANDB_MODE=disabled."""
        if os.environ.get("WANDB_MODE") == "disabled":
            return None, "disabled"
        began = time.monotonic()
        import wandb

        wandb.setup(wandb.Settings(silent=True, console="off"))
        if self._wants_online(wandb):
            left = self.online_wait - _OVERRUN - (time.monotonic() - began)
            try:
                return self._begin(wandb, mode="online", init_timeout=max(left, 1.0)), "online"
            except Exception as error:
                first = str(error).strip().partition("\n")[0]
                teardown()  # else the id counts as in use
                self._offline(f"W&B did not answer ({type(error).__name__}: {first[:120]})")
        return self._begin(wandb, mode="offline", init_timeout=60.0), "offline"

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
        if not reachable(settings.base_url, timeout=min(_TEST, self.online_wait)):
            self._offline(f"{urlsplit(settings.base_url).hostname} cannot be reached")
            return False
        return True

    def _offline(self, why: str) -> None:
        command = sync_command(self.folder, self.facts["wandb"]["id"])
        self.say(f"{why}; the W&B run is kept offline: {command}")

    def _begin(self, wandb: Any, *, mode: str, init_timeout: float) -> Any:
        facts = self.facts
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "rexnet"),
            id=facts["wandb"]["id"],
            resume="allow",
            name=f"{facts['recipe']}-{facts['identity']}",
            group=facts["recipe"],
            tags=[t for t in (facts.get("variant"), (facts.get("data") or {}).get("name")) if t],
            config=config(facts),
            allow_val_change=True,
            dir=str(self.folder),
            mode=mode,
            settings=wandb.Settings(
                init_timeout=init_timeout,
                finish_timeout=self.finish_wait,
                finish_timeout_raises=True,
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
        for group in ("train/*", "eval/*", "eval-*", "held-out/*", *(f"{name}*" for name in BESIDE)):
            run.define_metric(group, step_metric="epoch")
        for group in ("speed/*", "health/*", "cost/*"):
            run.define_metric(group, step_metric="images_seen")
        return run


def config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the resolved recipe: the run as asked for, with what its start found in the place of auto and
    None; and beside it the data, plan, published figures and versions."""
    found, plan = facts.get("found") or {}, facts.get("plan") or {}
    run = {name: dict(v) if isinstance(v, Mapping) else v for name, v in facts["run"].items()}
    if "micro_batch" in plan:
        run["micro_batch"] = plan["micro_batch"]
    for part, names in (("numerics", ("precision", "layout")), ("feeding", ("decode", "window"))):
        if part in run:
            run[part] |= {name: found[name] for name in names if name in found}
    beside = ("variant", "official", "earlier", "plan", "found", "versions")
    return run | {"dataset": facts.get("data")} | {name: facts[name] for name in beside if name in facts}


def sync_command(folder: Path, run: str, *, offline: bool = True, online: str | None = None) -> str:
    """Returns what to type for the pieces of a W&B run in a run's folder to be uploaded and joined by its id.

    Args:
        offline: whether all attempts' offline pieces are among them; wandb passes over what it has uploaded.
        online: the name of a piece that was online and is not all there.
    """
    with suppress(ValueError):
        folder = folder.relative_to(Path.cwd())  # as the run's other lines name it
    place = shlex.quote(str(folder / "wandb"))
    words = ["wandb sync"]
    if online is not None:
        # One alone: wandb would send those again that are all there, and their summary over the last one.
        words += ["--include-online", f"{place}/{online}"]
    if offline:
        words.append(f"{place}/offline-run-*-{run}")
    return " ".join(words)


def teardown() -> None:
    """Ends wandb's service, if it was ever begun."""
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        with suppress(Exception):  # the run is closed; a service that will not end cleanly has nothing to add
            wandb.teardown()
