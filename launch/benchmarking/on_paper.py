"""A run on V100s, on paper, as lines or as JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace

from launch.benchmarking.asked import OnPaper
from launch.benchmarking.forecast import Forecast, Site, forecast
from launch.config import Run
from launch.plan import Plan, make_plan
from pipeline.imagenet import CLASSES, TRAIN_IMAGES, VAL_IMAGES

_IMAGENET = {"images": TRAIN_IMAGES, "val_images": VAL_IMAGES, "classes": CLASSES}
_SECONDS = {"": 60, "s": 1, "m": 60, "h": 3600, "d": 86400}


def plan_on_paper(asked: OnPaper) -> str:
    """Returns the plan of a run on ImageNet.

    Raises:
        ValueError: the batch does not divide among the GPUs, or the wall time has no meaning.
    """
    nodes, rest = divmod(asked.gpus, asked.gpus_per_node)
    if asked.gpus < 1 or asked.gpus_per_node < 1 or (rest and nodes):
        raise ValueError(
            f"{asked.gpus} GPUs are no whole number of machines with {asked.gpus_per_node}: --gpus-per-node"
        )
    run, note = _fitting(asked.run, gpus=asked.gpus)
    plan = make_plan(run, nodes=max(nodes, 1), ranks=asked.gpus)
    site = Site(network=asked.network, cores=asked.cores, attempt=seconds_of(asked.wall_time))
    found = forecast(run, plan, site, **_IMAGENET)
    if asked.json:
        facts = {**dataclasses.asdict(found), "limit": found.limit, "plan": dataclasses.asdict(plan)}
        return json.dumps({"recipe": run.recipe, "note": note, **facts, "measured": False}, indent=1)
    return "\n".join([*([note] if note else []), *_lines(asked, plan, found)])


def _fitting(run: Run, *, gpus: int) -> tuple[Run, str | None]:
    """Returns the run as so many GPUs can train it, and what that changes."""
    if run.micro_batch is None or run.batch % gpus or run.batch // run.micro_batch % gpus == 0:
        return run, None
    micro_batch = run.batch // gpus
    note = (
        f"note      {run.recipe}'s micro-batches of {run.micro_batch} do not divide among {gpus} GPUs; "
        f"planned with --micro-batch {micro_batch}, which is another run"
    )
    return replace(run, micro_batch=micro_batch), note


def seconds_of(text: str) -> float | None:
    """Returns a duration in seconds: `24h`, `90m`, `1-12:00:00`, `12:00:00`, minutes; None for `none`.

    Raises:
        ValueError: it is none of these.
    """
    if text == "none":
        return None
    if match := re.fullmatch(r"([\d.]+)([smhd]?)", text):
        return float(match[1]) * _SECONDS[match[2]]
    if match := re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?", text):
        days, first, second, third = (int(part or 0) for part in match.groups())
        small = match[4] is None and match[1] is None  # Slurm's MM:SS
        return 60 * first + second if small else 86400 * days + 3600 * first + 60 * second + third
    raise ValueError(f"wall-time {text!r} is no duration: --wall-time 24h, 90m, 1-12:00:00 or none")


def _lines(asked: OnPaper, plan: Plan, found: Forecast) -> list[str]:
    rate, ranks = found.rate, plan.ranks
    again = f"{found.requeues} requeues at {asked.wall_time} an attempt" if found.requeues else "one attempt"
    hours, node = found.total * ranks / 3600, found.storage / plan.nodes / 1e9
    return [
        f"recipe    {asked.run.recipe}, {asked.run.epochs:g} epochs of ImageNet, {plan}",
        f"step      {1e3 * found.computing:.0f} ms of computing, {1e3 * found.waiting:.1f} ms of waiting",
        f"rate      {rate:.0f} images/s, {rate / ranks:.0f} of a GPU; an epoch in {_time(found.epoch)}",
        f"total     {_time(found.total)} with evaluations, {hours:.0f} GPU-hours; {again}",
        f"network   {1e3 * found.exchanging:.1f} ms a step at {asked.network:g} Gb/s, beside computing",
        f"decoding  {found.decoding:.0f} images/s by {asked.cores * ranks:g} CPU cores",
        f"storage   {found.storage / 1e9:.2f} GB/s of JPEGs in all, {node:.2f} of a node",
        f"limit     {found.limit}",
        "Not measured: derived from published figures of V100s (docs/performance.md). To measure: --smoke",
    ]


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
