"""What run.json says of a run: the resolved recipe, what was found out at its start, and with what it ran."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from launch.config import identity_fields, to_plain
from launch.engine.optimizer import describe_optimizer
from launch.folder import starter
from launch.recipe import expected_curve
from launch.recipes import RECIPES
from launch.session import Session

_PACKAGES = ("torch", "nvidia-dali-cuda120", "nvidia-nvimgcodec-cu12", "numpy", "wandb", "tyro", "apex")


def run_facts(
    session: Session, optimizer: torch.optim.Optimizer, *, earlier: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Returns the content of run.json: the earlier one's, one restart later, or a new one."""
    figures = session.data.published(session.run.variant)
    train, val = session.data.train, session.data.val
    return {
        "recipe": session.run.recipe,
        "identity": session.identity,
        "variant": session.run.variant,
        "run": to_plain(session.asked),
        "identity_fields": identity_fields(session.asked),
        "data": {
            "name": "imagenet-1k" if session.data.is_imagenet else None,
            "train_images": len(train),
            "val_images": len(val),
            "classes": len(train.classes),
            "train_identity": train.identity,
            "val_identity": val.identity,
        },
        "initial": dict(session.initial.facts)
        if session.initial
        else (earlier.get("initial") if earlier else None),
        "official": {"acc1": figures.acc1, "acc5": figures.acc5} if figures else None,
        "earlier": {"acc1": figures.earlier_acc1} if figures else None,
        "plan": {
            "nodes": session.plan.nodes,
            "ranks": session.plan.ranks,
            "batch": session.plan.batch,
            "micro_batch": session.plan.micro_batch,
            "accumulation": session.plan.accumulation,
            "steps": session.course.steps,
            "steps_per_epoch": session.course.steps_per_epoch,
        },
        "optimizer": describe_optimizer(optimizer),
        "expected": None  # what is expected is of random weights
        if session.run.init_weights
        else expected_facts(session.run.recipe, images=session.data.train_images),
        "found": session.found(),
        "versions": installed_versions(),
        "git": source_revision(),
        "devices": [session.world.device_name] * session.plan.ranks,
        "machine": {"cpu": processor(), "cores": len(os.sched_getaffinity(0))},
        "wandb": earlier["wandb"] if earlier else {"id": uuid.uuid4().hex[:8], "url": None, "mode": None},
        "started": earlier["started"]
        if earlier
        else datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "begun_by": earlier.get("begun_by") if earlier else starter(),
        "restarts": earlier["restarts"] + 1 if earlier else 0,
    }


def expected_facts(name: str, *, images: int) -> dict[str, Any] | None:
    """Returns what the recipe `name` is expected to reach, for curves to be drawn beside the run's.

    `points` are [epoch, Acc@1 in percent]. None where the recipe is the user's own, expects nothing, or is of
    another data set than the one with `images` training images.
    """
    recipe = RECIPES.get(name)
    if recipe is None or recipe.expected is None or recipe.expected.images != images:
        return None
    expected = recipe.expected
    return {
        "points": [list(point) for point in expected_curve(recipe)],
        "source": expected.curve_source,
        "range": [expected.low, expected.high],
        "range_source": expected.source,
    }


def installed_versions() -> dict[str, str]:
    """Returns the versions of Python and the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Returns what this machine's processor calls itself."""
    try:
        named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), flags=re.M)
    except OSError:
        named = None
    return named[1].strip() if named else platform.machine()


def source_revision() -> str | None:
    """Returns this checkout's git revision, `+changes` where files differ from it; None outside git."""
    here = Path(__file__).resolve().parent
    try:
        revision, changes = (
            subprocess.run(
                ["git", *words], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + ("+changes" if changes else "")
