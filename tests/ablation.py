"""What each optimisation is worth on this machine: training with it and without it, by turns.

python -m tests.ablation RECIPE --data DIR [--rounds 5] [--only NAME...] [flags of launch/benchmark.py train]
python -m tests.ablation --without NAME RECIPE --data DIR [flags]    # one turn without it
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from launch import benchmark
from launch.engine.config import Optim
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average
from launch.timing.program import Watched
from launch.timing.rounds import Figures, table, take_turns

REPOSITORY = Path(__file__).resolve().parents[1]

FLAGS = {
    "channels-last tensors": ("--layout", "contiguous"),
    "decoding of crops alone": ("--window", "crop"),
}
"""Optimisations that a flag takes away."""


def _many_kernels(groups: list[dict[str, Any]], optim: Optim) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov)


@torch.no_grad()
def _one_by_one(
    average: Average, model: nn.Module, stats: RunningStats, *, decay: float, skipped: Tensor
) -> None:
    average.stats.counts.copy_(stats.counts)
    share = (1 - decay) * (~skipped).to(stats.values.dtype)
    current = [*model.parameters(), stats.values]
    for ours, theirs in zip([*average.weights, average.stats.values], current, strict=True):
        ours.add_((theirs - ours) * share)


PATCHES: dict[str, tuple[str, Callable[..., Any]]] = {
    "kept memory": ("launch.engine.distributed.keep_freed_memory", lambda: None),
    "fused SGD": ("launch.engine.optimizer._new_torch", _many_kernels),
    "average of all tensors at once": ("launch.engine.state.Average.update", _one_by_one),
}
"""Those that nothing takes away but what is put in their place here."""


def main(argv: list[str]) -> None:
    """Measures, or takes a turn."""
    parser = argparse.ArgumentParser(prog="python -m tests.ablation", description=__doc__)
    parser.add_argument("--without", choices=list(PATCHES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*PATCHES, *FLAGS], default=[*PATCHES, *FLAGS])
    asked, flags = parser.parse_known_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the program of the turn would go on
    if asked.without:
        with mock.patch(*PATCHES[asked.without]):
            sys.exit(benchmark.main(["train", *flags]))
    ways: dict[str, Callable[[], Figures]] = {"all": partial(_turn, flags)}
    for name in asked.only:
        patch = ["--without", name] if name in PATCHES else []
        ways[f"without {name}"] = partial(_turn, [*patch, *flags, *FLAGS.get(name, ())])
    print(table(take_turns(ways, rounds=asked.rounds, say=partial(print, flush=True), warmup=False)))


def _turn(flags: list[str]) -> Figures:
    with TemporaryDirectory(prefix="rexnet-ablation-") as folder:
        told = Path(folder) / "figures.json"
        program = ["-m", "tests.ablation"] if "--without" in flags else ["launch/benchmark.py", "train"]
        Watched([sys.executable, *program, *flags, "--rounds", "1", "--json", str(told)], cwd=REPOSITORY)
        found = next(iter(json.loads(told.read_text())["measured"].values()))
        return {name: figure["median"] for name, figure in found.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
