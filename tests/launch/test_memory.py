"""Out of memory ends with one sentence that says what to type."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from launch import scoring
from launch.config import Run
from launch.engine.preemption import StopRequest
from launch.exhaustion import exhausted, naming_the_micro_batch, remedy
from pipeline import synthetic
from tests.launch.program import run


def test_whose_memory_it_was() -> None:
    with pytest.raises(RuntimeError) as host:
        torch.empty(2**60)
    assert exhausted(host.value) == "host"
    assert exhausted(MemoryError()) == "host"
    assert exhausted(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")) == "GPU"
    assert exhausted(RuntimeError("[/dali] CUDA runtime API error: out of memory")) == "GPU"
    assert exhausted(RuntimeError("Connection closed by peer")) is None
    assert exhausted(ValueError("out of memory of what was")) is None


@pytest.mark.parametrize(
    ("batch", "micro_batch", "ranks", "fitting"),
    [(1024, 64, 8, 32), (1024, 64, 1, 32), (1024, None, 16, 32), (96, 48, 2, 24), (90, 10, 3, 6)],
)
def test_the_next_smaller_micro_batch_that_divides(
    batch: int, micro_batch: int | None, ranks: int, fitting: int
) -> None:
    told = remedy(Run(batch=batch, micro_batch=micro_batch), memory="GPU", rank=0, ranks=ranks)
    assert f" take --micro-batch {fitting}. That is another run" in told
    assert batch % fitting == 0 and batch // fitting % ranks == 0


def test_none_divides() -> None:
    told = remedy(Run(batch=14, micro_batch=2), memory="GPU", rank=1, ranks=7)
    assert told.startswith("rank 1: the GPU has not enough memory") and told.endswith("take more memory")


def test_a_gpu_out_of_memory_becomes_the_users_to_mend() -> None:
    """A stand-in raises what torch raises."""
    wanted = "^rank 0: the GPU has not enough memory for micro-batches of 64 images: take --micro-batch 32. "
    with pytest.raises(ValueError, match=wanted), naming_the_micro_batch(Run(batch=1024, micro_batch=64)):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="closed by peer"), naming_the_micro_batch(Run()):
        raise RuntimeError("Connection closed by peer")


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        (256, "take a --test-size below 256, or None; the same command with it goes on"),
        (None, "take --eval-batch 50. That is another run, since "),
    ],
)
def test_a_trainings_evaluation_is_not_helped_by_micro_batches(
    size: int | None, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in raises what torch raises, in the evaluation of a session that holds what this asks for."""

    def evaluate(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(scoring, "evaluate", evaluate)
    run = Run(test_size=256)
    session: Any = SimpleNamespace(
        run=run,
        data=SimpleNamespace(val=range(7)),
        world=SimpleNamespace(device=None, host_group=None),
        layout=SimpleNamespace(memory_format=None),
    )
    wanted = f"^rank 0: the GPU has not enough memory to show 100 images at once in the evaluation: {advice}"
    with pytest.raises(ValueError, match=wanted), naming_the_micro_batch(run):
        scoring.score(session, torch.nn.Identity(), stop=StopRequest(), image_size=size)


def test_out_of_memory(tmp_path: Path) -> None:
    """A micro-batch of ten terabytes."""
    data = synthetic.make(tmp_path / "set", classes=3, train=12, val=3)
    flags = ("--batch", 2**24, "--micro-batch", 2**24, "--image-size", 224, "--variant", "rexnet_0.2")
    done = run("train", "demo", "--data", data, "--out", tmp_path / "run", *flags)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    wanted = (
        "the host has not enough memory for micro-batches of 16777216 images: take --micro-batch 8388608."
    )
    assert sum(wanted in line for line in done.stderr.splitlines()) == 1
    attempt = json.loads((tmp_path / "run" / "attempt.json").read_text())
    assert attempt["state"] == "user-error" and wanted in attempt["message"]
