"""What one process of a job finds of its own machine, before it joins the others."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from launch.checks import (
    apex,
    architecture,
    binding,
    data_set,
    decoding,
    disk,
    driver,
    gpus,
    machines,
    tracking,
)
from launch.checks.finding import Finding, looked
from launch.config import Run
from launch.engine.faults import gist

if TYPE_CHECKING:
    import torch

    from launch.engine.distributed import Place

_CLASSES = 1000  # where the data set does not tell
_IMAGES = 1_331_167  # likewise: ImageNet's


@dataclass(kw_only=True, slots=True)
class Report:
    """What one process has found of its machine; a machine's first process looks at more than the others."""

    host: str
    device: str
    found: dict[str, Finding] = field(default_factory=dict)
    binding: binding.Binding | None = None
    machine: machines.Machine | None = None
    folder: Path | None = None
    """Where the run's folder is, or the nearest one above it that there is."""
    gradients: int = 0
    """Bytes."""
    indexed: bool = False


def inspect(
    run: Run,
    place: Place,
    device: torch.device,
    *,
    trial: decoding.Trial | None,
    quick: bool,
    reachable: Callable[[str], bool],
) -> Report:
    """Returns what this process finds by itself; it touches no GPU before the trial has ended.

    Args:
        trial: on a machine's first process, which looks at what its machine has only once.
    """
    # Slurm may know a machine by another name than it has itself
    report = Report(host=os.environ.get("SLURMD_NODENAME") or socket.gethostname(), device=device.type)
    data = None
    if trial is not None:
        data = _look_at_files(run, report, make_index=not quick, nodes=place.nodes)
        report.found["apex"] = looked(lambda: apex.judge(apex.gather()))
    if place.first:
        report.found["W&B"] = looked(lambda: tracking.judge(tracking.gather(reachable=reachable)))
    if trial is not None:
        report.found["decoding"] = looked(lambda: decoding.judge(trial.result(device=device)))
    try:
        there = gpus.gather()
        report.found["GPU"] = architecture.judge(there)
        report.found["driver"] = driver.judge(there)
    except RuntimeError as error:
        there = None
        report.found["GPU"] = Finding("error", f"torch cannot use the GPU ({gist(error)})", "nvidia-smi")
    if trial is not None:
        report.machine = machines.gather(
            gpus=there,
            cpus=len(os.sched_getaffinity(0)),
            data=None if data is None else data.identity,
        )
    return report


def _look_at_files(run: Run, report: Report, *, make_index: bool, nodes: int) -> data_set.DataSet:
    from rexnet.model import create_model

    data = data_set.gather(
        run.data,
        drawn=run.recipe == "demo",
        machines=nodes,
        max_bad=run.feeding.max_bad,
        make_index=make_index,
    )
    report.found["data set"] = data_set.judge(data)
    report.indexed = data.train is not None and data.val is not None
    images = data.train.images + data.val.images if data.train and data.val else _IMAGES
    report.found["cache"] = looked(
        lambda: disk.judge_cache(disk.gather_cache(images=images), indexed=report.indexed)
    )
    import torch

    with torch.device("meta"):
        model = create_model(run.variant, num_classes=data.classes or _CLASSES)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    buffers = sum(buffer.numel() for buffer in model.buffers())
    report.gradients = 4 * parameters
    needed = disk.run_bytes(parameters=parameters, buffers=buffers)

    def judge() -> Finding:
        found = disk.gather(run.out or Path("runs"), needed=needed)
        report.folder = found.above
        return disk.judge_run(found)

    report.found["run folder"] = looked(judge)
    return data
