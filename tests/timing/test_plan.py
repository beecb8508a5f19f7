"""launch/benchmark.py plan: what it says, of what, and what it refuses."""

import json
import sys
from functools import partial

import pytest

from launch.benchmark import main
from launch.benchmarking.forecast import Site, exchange_seconds, forecast, requeues
from launch.benchmarking.on_paper import seconds_of
from launch.plan import make_plan
from launch.recipes import RECIPES
from launch.timing.work import StepWork, Work

IMAGENET = {"images": 1_281_167, "val_images": 50_000, "classes": 1000}


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """ReXNet-1.0's work as `count_work` finds it, without counting it each time."""
    monkeypatch.setattr(sys, "argv", ["launch/benchmark.py"])
    work = StepWork(
        per_image=Work(flops=2.37e9, convolved=25.0e6, depthwise=20.36e6, moved=117.2e6),
        per_step=Work(convolved=14.4e6, kernels=800),
        forward=Work(flops=0.79e9, convolved=8.3e6, depthwise=6.8e6, moved=41.6e6),
        parameters=4_932_928,
    )
    monkeypatch.setattr("launch.benchmarking.forecast.count_work", lambda *_, **__: work)


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(["plan", *arguments]) == 0
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}


def test_says_rate_hours_requeues_network_storage_and_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    said = lines(capsys, "rexnet_1.0", "--gpus", "16", "--cores", "10", "--wall-time", "1h")
    assert "2 nodes x 8 processes x 64 images x 1 accumulated = batch 1024" in said["recipe"]
    assert "2 requeues" not in said["total"] and "1 requeues at 1h an attempt" in said["total"]
    assert "images/s" in said["rate"] and "GB/s" in said["storage"] and "25 Gb/s" in said["network"]
    assert "memory bandwidth" in said["limit"]
    assert said["Not"].startswith("Not measured")


@pytest.mark.parametrize(
    ("flags", "limit"),
    [
        (["--gpus", "16"], "decoding on the CPU cores"),
        (["--gpus", "16", "--cores", "20", "--network", "1"], "the network between the nodes"),
        (["--gpus", "16", "--cores", "20", "--micro-batch", "16"], "the host"),
    ],
    ids=["cores", "network", "host"],
)
def test_names_the_limit(flags: list[str], limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert limit in lines(capsys, "rexnet_1.0", *flags)["limit"]


def test_gpus_that_do_not_divide_are_planned_with_another_micro_batch_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = lines(capsys, "rexnet_2.0", "--gpus", "32", "--wall-time", "24h")
    assert "micro-batches of 64 do not divide among 32 GPUs" in said["note"]
    assert "x 32 images x 1 accumulated" in said["recipe"]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "rexnet_1.0", "--gpus", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measured"] is False and found["plan"]["ranks"] == 8 and found["exchanging"] == 0
    assert found["epoch"] == pytest.approx(1_281_167 / found["rate"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "what to do comes first"),
        (["plan", "rexnet_1.0", "--gpus", "7"], "processes that fit: 1, 2, 4, 8, 16"),
        (["plan", "rexnet_1.0", "--gpus", "12"], "--gpus-per-node"),
        (["plan", "rexnet_1.0", "--wall-time", "soon"], "'soon' is no duration: --wall-time 24h"),
        (["plan", "rexnet_1.0", "--wall-time", "1m"], "ends before it trains"),
        (["plan", "rexnet_9"], "there is no recipe 'rexnet_9'"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("benchmark.py: ") and said.count("\n") == 1 and message in said


DURATIONS = {
    **{"24h": 86400, "90m": 5400, "1.5h": 5400, "30": 1800, "none": None},
    **{"1-12:00:00": 129600, "1-12:00": 129600, "12:00:00": 43200, "30:15": 1815},
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_durations_as_slurm_reads_them(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_a_run_takes_as_many_attempts_as_its_time_needs() -> None:
    assert requeues(3000, attempt=None) == 0
    assert [requeues(total, attempt=3720) for total in (3600, 3601, 7200, 7201)] == [0, 1, 1, 2]


def test_more_gpus_are_faster_until_something_else_is_the_limit() -> None:
    run = RECIPES["rexnet_1.0"].run

    def rate(gpus: int, *, cores: float) -> float:
        plan = make_plan(run, nodes=max(gpus // 8, 1), ranks=gpus)
        return forecast(run, plan, Site(cores=cores), **IMAGENET).rate

    few, many = partial(rate, cores=2), partial(rate, cores=20)
    assert few(16) == 2 * few(8) == 16 * 2 * 208  # decoding
    assert 1.8 * many(8) < many(16) <= 2 * many(8)
    assert 7 * many(1) < many(8) <= 8 * many(1) * 1.001


def test_the_all_reduce_grows_with_nodes_to_twice_the_gradients() -> None:
    step = StepWork(per_image=Work(), per_step=Work(), forward=Work(), parameters=10**6)
    times = [exchange_seconds(step, nodes=n, network=10) for n in (1, 2, 1000)]
    assert (
        times[0] == 0
        and times[1] == pytest.approx(4e6 / 1e9)
        and times[2] == pytest.approx(8e6 / 1e9, rel=0.01)
    )
