"""How a batch is laid over ranks, and what is said where it cannot be."""

from dataclasses import replace

import pytest
import torch

from launch.config import Run
from launch.engine.config import Numerics
from launch.footprint import kept_bytes
from launch.opening import as_before, idle_gpus
from launch.plan import make_plan
from pipeline.config import Feeding
from rexnet.model import create_model


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


def test_a_resume_keeps_what_the_first_start_found_out() -> None:
    found = {"device": "cuda", "precision": "fp16", "layout": "contiguous"}
    facts = {"found": found, "plan": {"micro_batch": 32}}
    resumed = as_before(run(64, None), facts, device="cuda")
    assert (resumed.micro_batch, resumed.numerics.precision) == (32, "fp16")
    assert resumed.numerics.layout == "contiguous"
    asked = replace(run(64, 32), numerics=Numerics(precision="bf16", layout="channels-last-8"))
    assert as_before(asked, facts, device="cuda") == asked


@pytest.mark.parametrize(
    ("first", "compiled", "kept"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_a_compiler_that_failed_is_not_tried_again(first: bool, compiled: bool, kept: bool) -> None:
    found = {"device": "cuda", "precision": "fp16", "layout": "contiguous", "compile": compiled}
    facts = {"run": {"numerics": {"compile": first}}, "found": found, "plan": {"micro_batch": 64}}
    asked = replace(run(64, 64), numerics=Numerics(compile=True))
    assert as_before(asked, facts, device="cuda").numerics.compile is kept


GPU_CROP = ("gpu", "crop")


@pytest.mark.parametrize(
    ("asked", "first", "found", "device", "kept"),
    [
        (("auto", "auto"), "auto", GPU_CROP, "cuda", GPU_CROP),
        (("auto", "auto"), "auto", GPU_CROP, "cpu", ("auto", "auto")),  # decided anew on another device
        (("auto", "auto"), "measure", ("cpu", "roi"), "cuda", ("cpu", "roi")),
        (("measure", "auto"), "measure", ("cpu", "roi"), "cuda", ("cpu", "roi")),
        (("measure", "auto"), "auto", GPU_CROP, "cuda", ("measure", "auto")),  # nothing was measured
        (("gpu", "auto"), "auto", GPU_CROP, "cuda", GPU_CROP),
        (("gpu", "auto"), "auto", ("cpu", "roi"), "cuda", ("gpu", "auto")),
        (("cpu", "auto"), "auto", GPU_CROP, "cuda", ("cpu", "auto")),
        (("auto", "roi"), "auto", GPU_CROP, "cuda", ("gpu", "roi")),
    ],
)
def test_a_resume_keeps_how_images_are_decoded(
    asked: tuple[str, str], first: str, found: tuple[str, str], device: str, kept: tuple[str, str]
) -> None:
    facts = {
        "run": {"feeding": {"decode": first}},
        "found": {
            "device": "cuda",
            "precision": "fp16",
            "layout": "contiguous",
            "decode": found[0],
            "window": found[1],
        },
        "plan": {"micro_batch": 64},
    }
    given = replace(run(64, 64), feeding=Feeding(decode=asked[0], window=asked[1]))  # type: ignore[arg-type]
    feeding = as_before(given, facts, device=device).feeding
    assert (feeding.decode, feeding.window) == kept


@pytest.mark.parametrize("variant", ["rexnet_0.2", "rexnet_1.0"])
def test_the_memory_estimate_is_what_a_real_pass_keeps(variant: str) -> None:
    model = create_model(variant, num_classes=10)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and tensor.shape[0] == 3:  # no weight has three filters
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.rand(3, 3, 64, 64))
    estimate = kept_bytes(create_model(variant, num_classes=10).to("meta"), size=64)
    assert estimate == pytest.approx(sum(kept.values()) / 3, rel=0.02)


def test_idle_gpus_are_named() -> None:
    told = idle_gpus(1, visible=8)
    assert told is not None and "8 GPUs are visible, but 1 used" in told and "--nproc-per-node=gpu" in told
    assert idle_gpus(8, visible=8) is None and idle_gpus(1, visible=0) is None


def test_without_a_micro_batch_the_first_world_sets_it() -> None:
    assert make_plan(run(96, None), nodes=1, ranks=3).micro_batch == 32
