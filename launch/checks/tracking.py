"""Whether W&B is installed, has a key, and answers. The key itself is never shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from launch.checks.architecture import INSTALL
from launch.checks.decoding import version_of
from launch.checks.finding import Finding

_SYNC = "wandb sync RUN/wandb/offline-run-*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking:
    """W&B as this process would use it."""

    version: str | None
    mode: str = "online"
    """As set: online, offline or disabled."""
    key: Literal["none", "set", "unusable"] = "none"
    server: str = ""
    """Its host's name."""
    reachable: bool | None = None
    """None: not asked, as nothing would be sent."""


def gather(*, reachable: Callable[[str], bool]) -> Tracking:
    """Looks. wandb itself is loaded only where there may be a key.

    Args:
        reachable: whether the server of an address answers.
    """
    version, mode = version_of("wandb"), os.environ.get("WANDB_MODE", "online")
    if version is None or mode in ("disabled", "offline", "dryrun"):
        return Tracking(version=version, mode="offline" if mode == "dryrun" else mode)
    if not _may_have_key():
        return Tracking(version=version)
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    try:
        has_key = wandb.login(prompt=False, verify=False)
        settings = wandb.setup().settings
        mode, server = settings.mode, settings.base_url
    except Exception:  # its words may hold what was taken for the key
        return Tracking(version=version, key="unusable")
    finally:
        wandb.teardown()
    sends = has_key and mode not in ("offline", "dryrun", "disabled")
    return Tracking(
        version=version,
        mode="offline" if mode == "dryrun" else mode,
        key="set" if has_key else "none",
        server=urlsplit(server).hostname or "",
        reachable=reachable(server) if sends else None,
    )


def judge(tracking: Tracking) -> Finding:
    """Returns what is to be said of W&B."""
    if tracking.version is None:
        return Finding(
            "warning",
            "wandb is not installed: runs are kept in metrics.jsonl and report.html only",
            INSTALL,
        )
    named = f"wandb {tracking.version}"
    if tracking.mode in ("disabled", "offline"):
        return Finding("ok", f"{named}, {tracking.mode} by WANDB_MODE")
    if tracking.key == "unusable":
        return Finding(
            "warning",
            f"{named}; the key that is set cannot be one: runs are kept offline",
            "wandb login --relogin",
        )
    if tracking.key == "none":
        return Finding("ok", f"{named}, no key: runs are kept offline; to send them: wandb login")
    if not tracking.reachable:
        return Finding(
            "warning",
            f"{named}; a key is set, but {tracking.server} cannot be reached from here: they stay offline. "
            "Send them from a machine that can",
            _SYNC,
        )
    return Finding("ok", f"{named}, a key is set, {tracking.server} answers")


def _may_have_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    told = os.environ.get("NETRC")
    places = [Path(told)] if told else [Path("~/.netrc"), Path("~/_netrc")]
    return any(place.expanduser().is_file() for place in places)
