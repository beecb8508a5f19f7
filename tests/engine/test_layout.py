"""Memory formats and alignments: named, timed, chosen."""

import pytest
import torch

from launch.engine import layout as layouts
from launch.engine.config import Numerics, Optim
from launch.engine.layout import CANDIDATES, Layout, fastest, find_layout, is_worth_timing, time_layouts
from launch.engine.optimizer import make_optimizer
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import assumed_layout, make_scaler
from rexnet.model import create_model
from tests.engine.micro import micro_batch

CPU = torch.device("cpu")


def new_state(layout: Layout) -> TrainState:
    model = create_model("rexnet_0.1", num_classes=5, align=layout.align)
    model = model.to(memory_format=layout.memory_format)  # type: ignore[call-overload]
    return TrainState(
        model=model,
        stats=RunningStats(model),
        average=Average(model),
        optimizer=make_optimizer(model, Optim()),
        scaler=make_scaler("fp32", device=CPU, scale=1.0),
    )


def test_names() -> None:
    assert CANDIDATES == ("channels-last", "channels-last-8", "contiguous", "contiguous-8")
    assert [find_layout(name).align for name in CANDIDATES] == [1, 8, 1, 8]
    assert find_layout("channels-last-8").memory_format == torch.channels_last
    assert find_layout("contiguous").memory_format == torch.contiguous_format
    assert Numerics().layout == "auto"


@pytest.mark.parametrize(
    ("device", "precision", "wanted"),
    [
        ("cuda", "fp16", "channels-last-8"),
        ("cuda", "bf16", "channels-last-8"),
        ("cuda", "fp32", "channels-last"),
        ("cpu", "fp16", "channels-last"),
        ("cpu", "fp32", "channels-last"),
    ],
)
def test_what_is_assumed_where_nothing_can_be_timed(device: str, precision: str, wanted: str) -> None:
    assert assumed_layout(precision, torch.device(device)) == wanted  # type: ignore[arg-type]


def test_every_layout_is_timed_in_its_own_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that counts what each layout's steps cost, the cheapest is found."""
    costs = {"channels-last": 3.0, "channels-last-8": 2.0, "contiguous": 5.0, "contiguous-8": 4.0}
    built: list[Layout] = []
    seen: list[tuple[torch.memory_format, int]] = []

    def build(layout: Layout) -> TrainState:
        built.append(layout)
        state = new_state(layout)
        state.model.register_forward_pre_hook(  # type: ignore[union-attr]
            lambda module, inputs: seen.append((formats(inputs[0]), layout.align))
        )
        return state

    def formats(images: torch.Tensor) -> torch.memory_format:
        last = images.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if last else torch.contiguous_format

    now = [0.0]

    def clock() -> float:
        now[0] += costs[next(n for n in CANDIDATES if find_layout(n) == built[-1])] / 1000
        return now[0]

    monkeypatch.setattr(layouts.time, "perf_counter", clock)
    batch = micro_batch(0)
    seconds = time_layouts(build, batch, optim=Optim(), precision="fp32")
    assert seconds == pytest.approx({name: cost / 1000 for name, cost in costs.items()})
    assert fastest(seconds) == "channels-last-8"
    assert built == [find_layout(name) for name in (*CANDIDATES, *CANDIDATES[::-1])]
    assert {(layout.memory_format, layout.align) for layout in built} == set(seen)
    assert len(seen) == len(CANDIDATES) * (20 + 2 * 3)


def test_slow_steps_are_not_timed_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 3.0
        return now[0]

    monkeypatch.setattr(layouts.time, "perf_counter", clock)
    assert time_layouts(new_state, micro_batch(0), optim=Optim(), precision="fp32") is None
    assert now[0] < 60


def test_a_trial_leaves_weights_alone() -> None:
    state = new_state(find_layout("channels-last"))
    before = [p.detach().clone() for p in state.model.parameters()]
    time_layouts(lambda layout: state, micro_batch(0), optim=Optim(lr=1.0), precision="fp32")
    assert all(a.equal(b) for a, b in zip(before, state.model.parameters(), strict=True))


def test_short_runs_are_not_timed() -> None:
    assert not is_worth_timing(5 * 4000 // 32)  # the demo
    assert is_worth_timing(90 * 1_281_167 // 1024)
