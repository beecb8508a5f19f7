"""Training on channel counts rounded up to 8: the same function, and nothing in what was added."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from launch.engine.config import Optim, Precision
from launch.engine.optimizer import make_optimizer
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import Step, make_scaler
from rexnet.model import create_model
from tests.engine.micro import micro_batch

pytestmark = pytest.mark.usefixtures("alone")
CPU = torch.device("cpu")

OPTIM = Optim(lr=0.05, weight_decay=1e-3, label_smoothing=0.1)


def new_state(
    variant: str,
    *,
    align: int,
    dtype: torch.dtype = torch.float64,
    precision: Precision = "fp32",
    memory_format: torch.memory_format = torch.channels_last,
) -> TrainState:
    torch.manual_seed(0)
    model = create_model(variant, num_classes=5, dropout=0.2, drop_path=0.2, align=align).to(dtype)
    model = model.to(memory_format=memory_format)  # type: ignore[call-overload]
    return TrainState(
        model=model,
        stats=RunningStats(model),
        average=Average(model),
        optimizer=make_optimizer(model, OPTIM),
        scaler=make_scaler(precision, device=CPU, scale=1024.0),
    )


def new_step(state: TrainState, precision: Precision = "fp32") -> Step:
    return Step(
        state,
        optim=OPTIM,
        precision=precision,
        memory_format=memory_format_of(state),
        device=CPU,
        accumulation=2,
        first_micro_batch=0,
        draw_seed=lambda step, micro: 1000 * step + micro,
    )


def memory_format_of(state: TrainState) -> torch.memory_format:
    weight = state.model.stem.conv.weight  # type: ignore[union-attr]
    last = weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
    return torch.channels_last if last else torch.contiguous_format


def batches(k: int, dtype: torch.dtype) -> Iterator[Any]:
    for half in (2 * k, 2 * k + 1):
        batch = micro_batch(half)
        batch.images, batch.weight = batch.images.to(dtype), batch.weight.to(dtype)
        yield batch


def gradients(state: TrainState) -> dict[str, Tensor]:
    """Returns the gradients in the state dict's shapes."""
    saved = state.model.state_dict()
    return {
        name: p.grad[tuple(slice(n) for n in saved[name].shape)]
        for name, p in state.model.named_parameters()
        if p.grad is not None
    }


def content(state: TrainState) -> dict[str, Tensor]:
    saved = state.state_dict()
    momenta = {str(k): entry["momentum_buffer"] for k, entry in saved["optimizer"]["state"].items()}
    return {
        f"{part}.{name}": tensor
        for part, tensors in (
            ("gradient", gradients(state)),
            ("model", saved["model"]),
            ("ema", saved["ema"]),
            ("momentum", momenta),
        )
        for name, tensor in tensors.items()
    }


def tensors(saved: dict[str, Any]) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(saved) if isinstance(leaf, Tensor)]


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Returns the largest difference, relative to the largest value of its tensor or a thousandth."""
    assert ours.keys() == theirs.keys()
    return max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-3))
        for a, b in zip(ours.values(), theirs.values(), strict=True)
    )


def padding(state: TrainState) -> list[Tensor]:
    """Returns copies of all tensors of a state, with zeros in the place of what a state dict shows."""
    left = []
    saved = state.model.state_dict()
    momenta = {p: entry["momentum_buffer"] for p, entry in state.optimizer.state.items()}
    for model in (state.model, state.average.model):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            for whole in (tensor, momenta.get(tensor), tensor.grad):
                if whole is not None and whole.ndim:
                    rest = whole.detach().clone()
                    rest[tuple(slice(n) for n in saved[name].shape)] = 0
                    left.append(rest)
    return left


@pytest.mark.parametrize(
    ("variant", "steps"),
    [
        ("rexnet_0.2", 6),
        *(pytest.param(f"rexnet_{width}", 30, marks=pytest.mark.slow) for width in (1.0, 1.3, 1.5)),
    ],
)
def test_lock_step_with_the_canonical_network(variant: str, steps: int) -> None:
    """Free-running training amplifies rounding; so each step starts from the canonical network's state."""
    canonical, aligned = (new_state(variant, align=align) for align in (1, 8))
    ours, theirs = new_step(aligned), new_step(canonical)
    for k in range(steps):
        aligned.load_state_dict(copy.deepcopy(canonical.state_dict()))
        for step in (ours, theirs):
            step.totals.zero_()
            step(batches(k, torch.float64), lr=OPTIM.lr, decay=0.9)
        assert float(ours.totals[0]) == pytest.approx(float(theirs.totals[0]), rel=1e-10)
        assert distance(content(aligned), content(canonical)) < 1e-10


@pytest.mark.parametrize(("precision", "steps"), [("fp32", 30), ("fp16", 10)])
def test_padding_stays_zero_bit_for_bit(precision: Precision, steps: int) -> None:
    state = new_state("rexnet_0.2", align=8, dtype=torch.float32, precision=precision)
    step = new_step(state, precision)
    before = {name: tensor.clone() for name, tensor in content(state).items()}
    for k in range(steps):
        step(batches(k, torch.float32), lr=OPTIM.lr, decay=0.9)
    rest = padding(state)
    assert sum(t.numel() for t in rest) > 10_000
    assert all(set(t.numpy().tobytes()) == {0} for t in rest)
    assert all(tensor.isfinite().all() for tensor in content(state).values())
    moved = [not t.equal(before[name]) for name, t in content(state).items() if name in before]
    assert sum(moved) > 0.9 * len(moved)


def test_a_checkpoint_does_not_know_the_layout(tmp_path: Path) -> None:
    """A run goes on bit for bit in its own layout, and in any other up to rounding."""
    aligned = new_state("rexnet_0.2", align=8)
    step = new_step(aligned)
    for k in range(2):
        step(batches(k, torch.float64), lr=OPTIM.lr, decay=0.9)
    torch.save(aligned.state_dict(), tmp_path / "8.pt")
    others = [new_state("rexnet_0.2", align=8), new_state("rexnet_0.2", align=1)]
    others.append(new_state("rexnet_0.2", align=1, memory_format=torch.contiguous_format))
    for other in others:
        other.load_state_dict(torch.load(tmp_path / "8.pt", weights_only=True))
        torch.save(other.state_dict(), tmp_path / "9.pt")
        again = torch.load(tmp_path / "9.pt", weights_only=True)
        torch.testing.assert_close(tensors(again), tensors(torch.load(tmp_path / "8.pt")), rtol=0, atol=0)
        sizes = [(tmp_path / name).stat().st_size for name in ("8.pt", "9.pt")]
        assert sizes[1] == pytest.approx(sizes[0], rel=1e-3)
    for state in (aligned, *others):
        new_step(state)(batches(7, torch.float64), lr=OPTIM.lr, decay=0.9)
    same, *rest = (content(other) for other in others)
    assert all(t.equal(same[name]) for name, t in content(aligned).items())
    assert all(distance(other, same) < 1e-10 for other in rest)


def test_initialisation_does_not_know_the_alignment() -> None:
    one, eight = (new_state("rexnet_1.0", align=align, dtype=torch.float32) for align in (1, 8))
    assert all(
        a.equal(b) for a, b in zip(*(s.model.state_dict().values() for s in (one, eight)), strict=True)
    )
    assert sum(p.numel() for p in eight.model.parameters()) > sum(p.numel() for p in one.model.parameters())
    assert all(
        size % 8 == 0 for n, p in eight.model.named_parameters() for size in p.shape[:1] if "cla" not in n
    )
