"""Worlds of several ranks on this machine, for what needs neither torchrun nor a data set."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch", "launch.engine.step", "tests.engine.micro", "rexnet.model"])


def begin(function: Callable[..., None], *arguments: Any, folder: Path, ranks: int = 2) -> list[Any]:
    """Starts `function(*arguments)` on every rank of a gloo world that meets in `folder`."""
    started = [
        _CONTEXT.Process(target=_enter, args=(function, arguments, folder, rank, ranks), daemon=True)
        for rank in range(ranks)
    ]
    for process in started:
        process.start()
    return started


def run(function: Callable[..., None], *arguments: Any, folder: Path, ranks: int = 2) -> list[int]:
    """Returns the exit codes of the ranks."""
    started = begin(function, *arguments, folder=folder, ranks=ranks)
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def _enter(
    function: Callable[..., None], arguments: tuple[Any, ...], folder: Path, rank: int, ranks: int
) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=ranks)
    function(*arguments)
