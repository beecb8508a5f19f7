"""The optimizer step: skipping, precision, settling."""

import copy
import math
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from launch.engine.config import Numerics, Optim
from launch.engine.meter import Meter, Waiting
from launch.engine.optimizer import decay_groups, load_optimizer, make_optimizer
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import Step, choose_precision, emulated, make_scaler
from rexnet.model import create_model
from tests.engine.micro import micro_batch

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("alone")


def new_state(precision: str = "fp32", *, scale: float = 65536.0, optim: Optim | None = None) -> TrainState:
    torch.manual_seed(0)
    model = create_model("rexnet_0.2", num_classes=5).to(memory_format=torch.channels_last)
    average = Average(model)
    return TrainState(
        model=model,
        stats=RunningStats(model),
        average=average,
        optimizer=make_optimizer(model, optim or Optim()),
        scaler=make_scaler(precision, device=CPU, scale=scale),  # type: ignore[arg-type]
    )


def new_step(state: TrainState, precision: str = "fp32", *, accumulation: int = 1, clip: float = 0.0) -> Step:
    return Step(
        state,
        optim=Optim(clip=clip),
        precision=precision,  # type: ignore[arg-type]
        device=CPU,
        accumulation=accumulation,
        first_micro_batch=0,
        draw_seed=lambda step, micro: 1000 * step + micro,
    )


def tensors(state: TrainState) -> list[Tensor]:
    content = {k: v for k, v in state.state_dict().items() if k not in ("scaler", "step")}
    return [v for v in torch.utils._pytree.tree_leaves(content) if isinstance(v, Tensor)]


def bits(state: TrainState) -> list[bytes]:
    return [t.detach().numpy().tobytes() for t in tensors(state)]


def test_step_moves_everything_and_counts() -> None:
    state = new_state()
    before = bits(state)
    step = new_step(state)
    step(iter([micro_batch(0)]), lr=0.1, decay=0.5)
    assert state.step == 1
    assert sum(a != b for a, b in zip(before, bits(state), strict=True)) > len(before) * 0.9
    loss, _, images, skipped = step.totals.tolist()
    assert images == 8 and skipped == 0 and 5 < loss < 50
    assert set(state.stats.counts.tolist()) == {1}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("at", [0, 2])
def test_overflow_leaves_all_but_the_clock(precision: str, at: int) -> None:
    """Also in the first step, where fused SGD would take uninitialised memory for momentum."""
    state = new_state(precision, scale=64.0)
    step = new_step(state, precision)
    for k in range(at):
        step(iter([micro_batch(k)]), lr=0.1, decay=0.5)
    step.totals.zero_()
    before, scale = bits(state), state.scaler.get_scale()
    step(iter([micro_batch(9, scale=float("inf"))]), lr=0.1, decay=0.5)
    assert bits(state) == before
    assert state.step == at + 1
    assert step.totals[3] == 1
    assert state.scaler.get_scale() == (scale / 2 if precision == "fp16" else 1.0)
    step(iter([micro_batch(10)]), lr=0.1, decay=0.5)
    assert bits(state) != before
    assert all(t.isfinite().all() for t in tensors(state))


def test_overflow_of_the_first_of_two_micro_batches_skips_the_step() -> None:
    state = new_state("fp16")
    step = new_step(state, "fp16", accumulation=2)
    before = bits(state)
    step(iter([micro_batch(0, scale=float("inf")), micro_batch(1)]), lr=0.1, decay=0.5)
    assert bits(state) == before


def test_fp16_takes_the_steps_of_fp32() -> None:
    """Each from the same state: free-running training amplifies rounding within a few steps.

    Rounding moves the gradient's norm of eight small images by up to a fifth, either way; the median of eight
    steps tells whether it is the same gradient.
    """
    states = {precision: new_state(precision, scale=1024.0) for precision in ("fp32", "fp16")}
    steps = {precision: new_step(state, precision) for precision, state in states.items()}
    ratios = []
    for k in range(8):
        theirs = states["fp32"].state_dict()
        scaler = states["fp16"].scaler.state_dict()
        states["fp16"].load_state_dict(copy.deepcopy(theirs) | {"scaler": scaler})
        for step in steps.values():
            step.totals.zero_()
            step(iter([micro_batch(k)]), lr=0.01, decay=0.5)
        losses = {precision: float(step.totals[0]) for precision, step in steps.items()}
        assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.01)
        assert losses["fp16"] != losses["fp32"]
        assert steps["fp16"].totals[3] == 0
        ratios.append(float(steps["fp16"].gradient_norm) / float(steps["fp32"].gradient_norm))
    assert median(ratios) == pytest.approx(1, rel=0.08)
    assert all(0.7 < ratio < 1.4 for ratio in ratios)


def test_settling_changes_nothing() -> None:
    state = new_state()
    before = bits(state)
    step = new_step(state)
    step.settle(micro_batch(0))
    assert bits(state) == before and state.step == 0 and not step.totals.any()
    assert all(p.grad is None for p in state.model.parameters())


def test_clipping_bounds_the_update() -> None:
    optim = Optim(momentum=0.0, weight_decay=0.0)
    moved = {}
    for clip in (0.0, 1e-3):
        state = new_state(optim=optim)
        before = [p.detach().clone() for p in state.model.parameters()]
        new_step(state, clip=clip)(iter([micro_batch(0)]), lr=1.0, decay=0.5)
        after = state.model.parameters()
        moved[clip] = torch.nn.utils.get_total_norm(
            [a.detach() - b for a, b in zip(after, before, strict=True)]
        )
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert moved[0.0] > 0.1


def test_running_stats_move_to_the_mean_of_micro_batches() -> None:
    state = new_state()
    norm = state.model.stem.norm  # type: ignore[union-attr]
    assert isinstance(norm, nn.BatchNorm2d)
    halves = [micro_batch(1), micro_batch(2)]
    with torch.no_grad():
        outputs = [state.model.stem.conv(b.images) for b in halves]  # type: ignore[union-attr,operator]
    means = torch.stack([y.mean(dim=(0, 2, 3)) for y in outputs]).mean(dim=0)
    variances = torch.stack([y.var(dim=(0, 2, 3)) for y in outputs]).mean(dim=0)
    new_step(state, accumulation=2)(iter(halves), lr=0.1, decay=0.5)
    torch.testing.assert_close(norm.running_mean, 0.1 * means, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variances, atol=1e-6, rtol=1e-4)


def test_running_stats_lie_where_vectors_of_numbers_can_be_read() -> None:
    """cuDNN reads some at once; on a GPU, views at odd places end the process with "misaligned address"."""
    stats = new_state().stats
    assert len({norm.num_features % 4 for norm in stats.norms}) > 1
    for norm in stats.norms:
        for view in (norm.running_mean, norm.running_var):
            assert isinstance(view, torch.Tensor)
            assert view.data_ptr() >= stats.values.data_ptr()
            assert view.storage_offset() * view.element_size() % 256 == 0


def test_dropout_follows_step_and_micro_batch_alone() -> None:
    first, second = new_state(), new_state()
    torch.manual_seed(123)
    new_step(first)(iter([micro_batch(0)]), lr=0.1, decay=0.5)
    torch.rand(77)
    new_step(second)(iter([micro_batch(0)]), lr=0.1, decay=0.5)
    assert bits(first) == bits(second)


def test_no_weight_decay_on_norms_and_biases() -> None:
    model = create_model("rexnet_0.2", num_classes=5)
    decayed, plain = decay_groups(model)
    names = {id(p): n for n, p in model.named_parameters()}
    assert all(names[id(p)].endswith("weight") and "norm" not in names[id(p)] for p in decayed)
    assert all("norm" in names[id(p)] or names[id(p)].endswith("bias") for p in plain)
    assert len(decayed) + len(plain) == len(names)


def test_optimizer_state_takes_the_parameters_memory_format() -> None:
    """A state saved from contiguous tensors continues as one saved from channels-last ones."""
    state = new_state()
    step = new_step(state)
    for k in range(3):
        step(iter([micro_batch(k)]), lr=0.1, decay=0.5)
    saved = copy.deepcopy(state.state_dict())
    for entry in saved["optimizer"]["state"].values():
        entry["momentum_buffer"] = entry["momentum_buffer"].contiguous().clone()
    for group in saved["optimizer"]["param_groups"]:
        group["fused"] = None
    other = new_state()
    other.load_state_dict(saved)
    for s in (state, other):
        new_step(s)(iter([micro_batch(5)]), lr=0.1, decay=0.5)
    assert bits(state) == bits(other)
    assert all(g["fused"] for g in other.optimizer.param_groups)


def test_loading_keeps_strides() -> None:
    model = create_model("rexnet_0.2", num_classes=5).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, Optim())
    saved = optimizer.state_dict()
    for entry in saved["state"].values():
        entry["momentum_buffer"] = entry["momentum_buffer"].contiguous()
    load_optimizer(optimizer, model, saved)
    for parameter, entry in optimizer.state.items():
        assert entry["momentum_buffer"].stride() == parameter.stride()


def test_precision_on_cpu() -> None:
    assert choose_precision(Numerics(), CPU) == "fp32"
    assert choose_precision(Numerics(precision="bf16"), CPU) == "bf16"


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 0), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_precision_by_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision(Numerics(), torch.device("cuda")) == precision


def test_bf16_is_told_of_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100-SXM2-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    told = emulated("bf16", gpu)
    assert told is not None and told.startswith("Tesla V100-SXM2-16GB has no arithmetic for bf16")
    assert emulated("fp16", gpu) is None and emulated("bf16", CPU) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert emulated("bf16", gpu) is None


def test_a_step_is_what_plain_torch_does() -> None:
    """Five steps in float64 against torch's own SGD, cross-entropy and BatchNorm, without scaler and DDP."""
    optim = Optim(weight_decay=5e-4, label_smoothing=0.1)
    torch.manual_seed(0)
    model = create_model("rexnet_0.2", num_classes=5, dropout=0.0).double()
    model = model.to(memory_format=torch.channels_last)
    plain = copy.deepcopy(model).train()
    decayed, undecayed = decay_groups(plain)
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": undecayed, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, foreach=False)
    average = Average(model)
    state = TrainState(
        model=model,
        stats=RunningStats(model),
        average=average,
        optimizer=make_optimizer(model, optim),
        scaler=make_scaler("fp32", device=CPU, scale=1.0),
    )
    step = new_step(state)
    for k in range(5):
        batch = micro_batch(k)
        batch.images, batch.weight = batch.images.double(), batch.weight.double()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(plain(batch.images), batch.labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        step.totals.zero_()
        step(iter([batch]), lr=0.1, decay=0.9)
        assert float(step.totals[0] / 8) == pytest.approx(loss.item(), rel=1e-9)
    for ours, theirs in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_skipped_steps_are_counted_over_restarts() -> None:
    state = new_state()
    step = new_step(state)
    scales = (float("inf"), 1.0, float("inf"), float("inf"))
    waiting = Waiting(micro_batch(k, scale=scale) for k, scale in enumerate(scales))
    meter = Meter(step, waiting)
    for _ in scales:
        step(waiting, lr=0.01, decay=0.5)
    metrics, told = meter.read(stop=True)
    assert metrics["health/skipped_steps"] == 3 and told
    assert metrics["health/skipped_in_a_row"] == 2
    assert math.isfinite(metrics["train/loss"])  # of the step that was taken
    resumed = new_state()
    resumed.load_state_dict(copy.deepcopy(state.state_dict()))
    step = new_step(resumed)
    waiting = Waiting(iter([micro_batch(9, scale=float("inf"))]))
    meter = Meter(step, waiting)
    step(waiting, lr=0.01, decay=0.5)
    metrics, _ = meter.read(stop=False)
    assert metrics["health/skipped_steps"] == 4 and metrics["health/skipped_in_a_row"] == 3
    assert math.isnan(metrics["train/loss"])
