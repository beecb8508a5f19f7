"""The whole program beside timm's train.py, on the same files with the same model, batch and image size.

timm and its environment are the user's: a checkout of https://github.com/huggingface/pytorch-image-models and
a Python that can import it. Nothing of it is part of this repository.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from launch.benchmarking.starting import QUIET, TRAIN, train_lines
from launch.timing.program import Watched
from launch.timing.rounds import Figures

FROM, TO = 20, 200
"""Optimizer steps between which is timed."""

SAME_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
    "MALLOC_TOP_PAD_": str(2**28),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""What launch/engine/memory.py tells glibc, as variables for a program that does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """timm's training program.

    Attributes:
        checkout: folder that holds its train.py.
        python: an interpreter that can import timm.
    """

    checkout: Path
    python: Path


def find_peer(*, checkout: Path, python: Path) -> Peer:
    """Returns the peer by absolute paths, as it runs in its checkout and not where the user stands.

    Args:
        python: a path, or a name that is looked for on the PATH. Links stay: those of a virtual environment
            lead out of it.

    Raises:
        FileNotFoundError: it is not there.
    """
    script = checkout.expanduser().absolute() / "train.py"
    if not script.is_file():
        raise FileNotFoundError(
            f"no {script}; --against wants a checkout of timm: git clone --branch v1.0.31 "
            "https://github.com/huggingface/pytorch-image-models"
        )
    program = shutil.which(python.expanduser())
    if program is None:
        raise FileNotFoundError(f"no {python}; --peer-python wants a Python that can import timm")
    return Peer(checkout=script.parent, python=Path(program).absolute())


def peer_ways(
    peer: Peer, *, data: Path, width: str, size: int, batch: int, workers: int, device: str
) -> dict[str, Callable[[], Figures]]:
    """Returns, by name, what trains up to step `TO` and returns the figures of the steps from `FROM` on.

    Both crop at random and flip, without averaging, in fp32 and channels-last; timm's once as it comes and
    once with the allocator that this program sets for itself. With 0 workers this program decodes with its
    own default, one thread on a CPU, and timm's with two processes.
    """
    shape = {"data": data.expanduser().absolute(), "size": size, "batch": batch, "workers": workers}
    theirs = partial(_train_theirs, peer, model=f"rexnet_{width.replace('.', '')}0", device=device, **shape)
    return {
        "this repo": partial(_train_ours, recipe=f"rexnet_{width}-plain", **shape),
        "timm": partial(theirs, env={}),
        "timm, this allocator": partial(theirs, env=SAME_ALLOCATOR),
    }


def _train_ours(*, recipe: str, data: Path, size: int, batch: int, workers: int) -> Figures:
    with TemporaryDirectory(prefix="rexnet-against-") as folder:
        out = Path(folder) / "run"
        flags = ["--image-size", str(size), "--batch", str(batch), "--micro-batch", str(batch)]
        flags += ["--workers", str(workers), "--precision", "fp32", "--layout", "channels-last"]
        flags += ["--lr", "0.05", "--epochs", "1", "--log-every", str(FROM), "--out", str(out)]

        def over(_: Watched) -> bool:
            return any(json.loads(line)["step"] >= TO for line in train_lines(out)[-1:])

        run = Watched(
            [sys.executable, str(TRAIN), recipe, "--data", str(data), *flags], env=QUIET, until=over
        )
        times = {line["step"]: line["time"] for line in map(json.loads, train_lines(out))}
        if TO not in times:
            raise ValueError(
                f"an epoch of {data} has fewer than {TO} batches of {batch}: --data with more images"
            )
        return _figures(times[TO] - times[FROM], batch=batch, memory=run.memory_mib)


def _train_theirs(
    peer: Peer,
    *,
    model: str,
    device: str,
    data: Path,
    size: int,
    batch: int,
    workers: int,
    env: Mapping[str, str],
) -> Figures:
    with TemporaryDirectory(prefix="rexnet-against-") as folder:
        flags = ["--data-dir", str(data), "--train-split", "train", "--val-split", "val", "--model", model]
        flags += ["--img-size", str(size), "--batch-size", str(batch), "--workers", str(workers or 2)]
        flags += ["--channels-last", "--device", device, "--opt", "sgd", "--lr", "0.05", "--epochs", "1"]
        flags += ["--color-jitter", "0", "--log-interval", str(FROM), "--output", folder]
        command = [str(peer.python), "-u", str(peer.checkout / "train.py"), *flags]

        def line(step: int) -> str:
            return rf"Train: \d+ \[\s*{step}/"

        run = Watched(
            command, env=env, cwd=peer.checkout, until=lambda run: run.time_of(line(TO)) is not None
        )
        first, last = run.time_of(line(FROM)), run.time_of(line(TO))
        if first is None or last is None:
            told = "\n".join(text for _, text in run.lines[-15:])
            raise ValueError(
                f"timm's train.py ended before step {TO}; {data} needs {TO + 1} batches:\n{told}"
            )
        return _figures(last - first, batch=batch, memory=run.memory_mib)


def _figures(seconds: float, *, batch: int, memory: float) -> Figures:
    steps = TO - FROM
    return {
        "images/s": steps * batch / seconds,
        "step ms": 1000 * seconds / steps,
        "peak memory MiB": memory,
    }
