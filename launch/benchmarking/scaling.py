"""Input and step together, by 1 to N processes of this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from launch.benchmarking.starting import as_flags
from launch.config import Run
from launch.plan import make_plan
from launch.timing.program import Watched
from launch.timing.rounds import Figures

_BENCHMARK = Path(__file__).resolve().parents[1] / "benchmark.py"


def scaling_ways(run: Run, *, most: int, threads: int, steps: int) -> dict[str, Callable[[], Figures]]:
    """Returns, by the number of processes, what trains `steps` steps with so many and returns the figures.

    Each process computes with `threads` / processes threads, so that all use the same cores.

    Raises:
        ValueError: the batch does not divide among so many.
    """
    counts = [n for n in (1, 2, 4, 8, 16) if n <= most]
    ways = {}
    for n in counts:
        make_plan(run, nodes=1, ranks=n)  # says which numbers fit
        share = max(threads // n, 1)
        name = f"{n} process{'es' * (n > 1)} x {share} thread{'s' * (share > 1)}"
        ways[name] = partial(_train, run, processes=n, threads=share, steps=steps)
    return ways


def _train(run: Run, *, processes: int, threads: int, steps: int) -> Figures:
    with TemporaryDirectory(prefix="rexnet-scale-") as folder:
        told = Path(folder) / "figures.json"
        launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        own = ["--rounds", "1", "--steps", str(steps), "--json", str(told)]
        watched = Watched(
            [*launcher, str(_BENCHMARK), "train", *as_flags(run, folder=Path(folder)), *own],
            env={"OMP_NUM_THREADS": str(threads)},
        )
        figures = next(iter(json.loads(told.read_text())["measured"].values()))
        return {name: figure["median"] for name, figure in figures.items()} | {
            "peak memory MiB": watched.memory_mib
        }
