"""How a batch is laid over ranks, and what is said where it cannot be."""

from dataclasses import replace

import pytest

from launch.config import Run
from launch.opening import idle_gpus
from launch.plan import make_plan


def run(batch: int, micro_batch: int | None) -> Run:
    return Run(batch=batch, micro_batch=micro_batch)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8, 16])
def test_every_world_that_divides_computes_the_same_run(ranks: int) -> None:
    plan = make_plan(run(1024, 64), nodes=max(ranks // 8, 1), ranks=ranks)
    assert plan.ranks * plan.micro_batch * plan.accumulation == plan.batch == 1024
    assert plan.micro_batch == 64


def test_it_reads_as_a_product() -> None:
    plan = make_plan(run(1024, 64), nodes=2, ranks=8)
    assert str(plan) == "2 nodes x 4 processes x 64 images x 2 accumulated = batch 1024"


@pytest.mark.parametrize(
    ("batch", "micro_batch", "ranks"),
    [
        (1024, 64, 3),
        (1024, 64, 32),
        (100, 64, 1),
        (96, 32, 2),
        (100, None, 3),
        (1000, 128, 8),
        (7, 2, 1),
        (6, 4, 5),
    ],
)
def test_what_is_suggested_fits(batch: int, micro_batch: int | None, ranks: int) -> None:
    asked = run(batch, micro_batch)
    with pytest.raises(ValueError, match="take --") as caught:
        make_plan(asked, nodes=1, ranks=ranks)
    words = str(caught.value).replace(",", " ").split()
    suggested = [
        (words[i], int(words[i + 1])) for i, w in enumerate(words[:-1]) if w in ("--batch", "--micro-batch")
    ]
    assert suggested
    for flag, value in suggested:
        changed = replace(asked, **{flag[2:].replace("-", "_"): value})
        make_plan(changed, nodes=1, ranks=ranks)


def test_worlds_that_fit_are_named() -> None:
    with pytest.raises(ValueError, match="processes that fit: 1, 2, 4, 8, 16;"):
        make_plan(run(1024, 64), nodes=1, ranks=3)


def test_idle_gpus_are_named() -> None:
    told = idle_gpus(1, visible=8)
    assert told is not None and "8 GPUs are visible, but 1 used" in told and "--nproc-per-node=gpu" in told
    assert idle_gpus(8, visible=8) is None and idle_gpus(1, visible=0) is None


def test_without_a_micro_batch_the_first_world_sets_it() -> None:
    assert make_plan(run(96, None), nodes=1, ranks=3).micro_batch == 32
