"""Where a run's images are decoded: asked for, tried, timed, agreed on by all machines, and kept."""

import json
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from launch import decoding
from launch.config import Run
from launch.decoding import choose_decoding, most_careful, time_ways, try_decoding
from launch.engine.distributed import Place
from launch.measuring import measure_rates
from pipeline import graph, synthetic
from pipeline.config import Augmentation, Feeding
from pipeline.index import open_index
from pipeline.loader import Share, train_batches
from pipeline.probe import Found, find_working
from tests.launch.program import REPOSITORY, command, environment

CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def session(*, device: torch.device = CUDA, asked: Feeding | None = None, **feeding: Any) -> Any:
    resolved = Feeding(**feeding)
    return SimpleNamespace(
        run=replace(Run(), feeding=resolved),
        asked=replace(Run(), feeding=asked or resolved),
        world=SimpleNamespace(
            place=SimpleNamespace(first=True, world_size=1), host_group=dist.group.WORLD, device=device
        ),
    )


def found_on(broken: tuple[str, ...], *, device: torch.device = CUDA, **feeding: Any) -> Found:
    """What a machine finds that cannot decode the `broken` windows on its GPU."""
    return find_working(
        graph.placements(device, **({"decode": "auto"} | feeding)),
        probe=lambda placement: "ends by SIGSEGV" if placement.window in broken else None,
    )


def chosen(
    given: Any, tried: Found, earlier: dict[str, str] | None = None
) -> tuple[str, str, str, list[str]]:
    said: list[str] = []
    feeding, why = choose_decoding(given, tried, earlier=earlier, say=said.append)
    return feeding.decode, feeding.window, why, said


def test_what_works_is_taken_without_a_word() -> None:
    assert chosen(session(), found_on(())) == ("gpu", "roi", "tried", [])
    assert chosen(session(decode="cpu"), found_on((), decode="cpu")) == ("cpu", "roi", "asked for", [])
    by_cpu = found_on((), device=torch.device("cpu"))
    assert chosen(session(), by_cpu) == ("cpu", "roi", "the training device is a CPU", [])


def test_what_does_not_work_is_said_in_one_line() -> None:
    why = "since decoding crops alone on the GPU ends by SIGSEGV"
    line = f"decode gpu, window crop, {why}"
    assert chosen(session(), found_on(("roi",))) == ("gpu", "crop", why, [line])
    assert chosen(session(decode="gpu"), found_on(("roi",), decode="gpu")) == ("gpu", "crop", why, [line])
    both = f"{why}, and decoding whole images on the GPU ends by SIGSEGV"
    line = f"decode cpu, window roi, {both}"
    assert chosen(session(), found_on(("roi", "crop"))) == ("cpu", "roi", both, [line])


def test_decoding_on_a_gpu_that_does_not_work_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"^decode is gpu, but .*SIGSEGV, and .*; use --decode auto or --decode"
    ):
        chosen(session(decode="gpu"), found_on(("roi", "crop"), decode="gpu"))


def test_what_the_first_start_found_is_kept() -> None:
    given = session(decode="gpu", window="crop", asked=Feeding())
    tried = find_working(graph.placements(CUDA, decode="gpu", window="crop"), probe=None)
    why = "since decoding crops alone on the GPU ends by SIGSEGV"
    assert chosen(given, tried, {"decode_found": why}) == ("gpu", "crop", why, [])


def test_the_most_careful_machine_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [found_on(()), found_on(("roi",)), found_on(())]
    assert most_careful(machines) is machines[1]
    assert most_careful([*machines, found_on(("roi", "crop"))]).placement != machines[0].placement

    def gather(everybody: list[Any], own: Any, group: Any) -> None:
        everybody[:] = [own, None, machines[1], None]

    monkeypatch.setattr(dist, "all_gather_object", gather)
    assert chosen(session(), machines[0])[:2] == ("gpu", "crop")


def test_the_first_process_of_a_machine_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = partial(Place, world_size=8, local_world_size=4)
    monkeypatch.setattr(decoding, "find_device", lambda place: torch.device("cpu"))
    assert try_decoding(Feeding(), tried(rank=5, local_rank=1)) is None
    assert try_decoding(Feeding(), tried(rank=4, local_rank=0)) == found_on((), device=torch.device("cpu"))


def test_the_faster_way_is_taken_and_both_figures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given = session(decode="measure")
    for rates, decode in (({"gpu": 801.2, "cpu": 640.0}, "gpu"), ({"gpu": 500.0, "cpu": 640.0}, "cpu")):
        monkeypatch.setattr(decoding, "time_ways", lambda session, ways, rates=rates: rates)
        *way, why, said = chosen(given, found_on((), decode="measure"))
        assert way == [decode, "roi"]
        assert why == f"measured, images/s of a process: gpu {rates['gpu']:.0f}, cpu {rates['cpu']:.0f}"
        assert said == ["timing to decode by gpu and cpu", f"decode {decode}, window roi, {why}"]


def test_where_only_the_cpu_decodes_nothing_is_timed() -> None:
    by_cpu = found_on((), device=torch.device("cpu"), decode="measure")
    *way, why, said = chosen(session(device=torch.device("cpu"), decode="measure"), by_cpu)
    assert why == "nothing to measure: only the CPU decodes here, the training device is a CPU"
    assert way == ["cpu", "roi"] and said == [f"decode cpu, window roi, {why}"]


def batches(step: int, *, pause: float, seen: list[int]) -> Generator[Any]:
    while True:
        seen.append(step)
        yield SimpleNamespace(images=torch.zeros(1, 1, 1, 1), ids=np.arange(10))
        step += 1
        time.sleep(pause)


def test_rates_are_images_over_time_and_no_turn_repeats_a_step() -> None:
    slow, fast = list[int](), list[int]()
    ways = {
        "slow": partial(batches, pause=0.04, seen=slow),
        "fast": partial(batches, pause=0.01, seen=fast),
    }
    rates = measure_rates(ways, seconds=0.6)
    assert rates["slow"] <= 250 and rates["slow"] < rates["fast"] <= 1000
    assert not set(slow) & set(fast) and len(set(slow)) == len(slow) and len(set(fast)) == len(fast)


def test_two_ways_of_the_cpu_are_timed_on_the_runs_own_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    data = synthetic.make(tmp_path / "set", classes=2, train=32, val=2)
    index = open_index(data / "train", say=lambda line: None)
    asked: list[Feeding] = []

    def stream(*, from_step: int, to_step: int, feeding: Feeding) -> Generator[Any]:
        asked.append(feeding)
        return train_batches(
            index,
            augmentation=Augmentation(rand_ops=1),
            feeding=feeding,
            seed=0,
            share=Share(batch=8, micro_batch=8, rank=0, world_size=1),
            device=torch.device("cpu"),
            image_size=lambda step: 32,
            from_step=from_step,
            to_step=to_step,
        )

    given = session(device=torch.device("cpu"))
    given.train_batches = stream
    ways = {name: Feeding(decode="cpu", window=name) for name in ("roi", "crop")}  # type: ignore[arg-type]
    rates = time_ways(given, ways, seconds=0.2)
    assert rates.keys() == ways.keys() and all(rate > 10 for rate in rates.values())
    assert [feeding.window for feeding in asked] == ["roi", "crop", "crop", "roi"]


STAND_IN = """
import sys
from dataclasses import replace
from functools import partial

from launch import decoding
from pipeline import graph, probe, trial
from tests.pipeline import stand_ins

def placements(device, *, decode, window="auto"):
    windows = ("roi", "crop") if window == "auto" else (window,)
    on_gpu, on_cpu = (graph.Placement(operators="cpu", decoder=d, device_id=None) for d in ("mixed", "cpu"))
    by_gpu = [replace(on_gpu, window=each) for each in windows]
    return {"gpu": by_gpu, "cpu": [on_cpu]}.get(decode, [*by_gpu, on_cpu])

def tried(placement):
    print("trying", placement.window, flush=True)
    works = partial(probe.decode_drawn, replace(placement, decoder="cpu"))
    return trial.find_fault(stand_ins.crash if placement.window == "roi" else works)

decoding_of, graph.placements = graph._decoding, placements
graph._decoding = lambda placement: decoding_of(replace(placement, decoder="cpu"))
decoding.find_working = partial(probe.find_working, probe=tried)

from launch.engine.distributed import leave
from launch.train import main
leave(main(sys.argv[1:]))
"""
"""The training program on a machine whose GPU is the CPU, but crashes over crops alone."""


@pytest.mark.slow
def test_a_run_goes_on_by_whole_images_where_crops_alone_crash(tmp_path: Path) -> None:
    """With a real process that crashes; the run, and what a later start makes of it, are those of a CPU."""
    data = synthetic.make(tmp_path / "set", classes=2, train=64, val=8)
    flags = ("--epochs", 2, "--batch", 8, "--micro-batch", 8, "--image-size", 32, "--variant", "rexnet_0.1")

    def start(name: str, *more: object) -> tuple[str, dict[str, str]]:
        words = ["demo", "--data", data, *flags, *more, "--out", tmp_path / name]
        program = [sys.executable, "-c", STAND_IN] if name == "crashes" else command("train")
        done = subprocess.run(
            [*program, *map(str, words)],
            capture_output=True, text=True, env=environment(PYTHONPATH=str(REPOSITORY)), timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout, json.loads((tmp_path / name / "run.json").read_text())["found"]

    def weights(name: str) -> dict[str, bytes]:
        tensors = load_file(tmp_path / name / "model.safetensors")
        return {key: tensor.numpy().tobytes() for key, tensor in tensors.items()}

    shown, found = start("crashes")
    line = f"decode gpu, window crop, {found['decode_found']}"
    assert line.endswith("since decoding crops alone on the GPU ends by SIGSEGV")
    assert [each for each in shown.splitlines() if each.startswith(("trying", "decode "))] == [
        "trying roi", "trying crop", line,
    ]  # fmt: skip
    assert (found["decode"], found["window"]) == ("gpu", "crop")
    start("plain")
    assert weights("crashes") == weights("plain")
    (tmp_path / "crashes" / "model.safetensors").unlink()
    shown, again = start("crashes")
    assert "trying" not in shown and again == found | {"layout_found": again["layout_found"]}
    shown, measured = start("measured", "--decode", "measure", "--window", "crop")
    assert (measured["decode"], measured["window"]) == ("cpu", "crop")
    assert shown.count(f"decode cpu, window crop, {measured['decode_found']}") == 1
    assert weights("measured") == weights("plain")
