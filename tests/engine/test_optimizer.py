"""The optimizers: what decays, what a skipped step leaves, what survives a resume."""

import copy

import pytest
import torch

from launch.engine.config import Optim
from launch.engine.optimizer import check_backend, describe_optimizer, make_optimizer
from rexnet.model import create_model
from tests.engine.micro import micro_batch
from tests.engine.test_step import CPU, bits, new_state, new_step

pytestmark = pytest.mark.usefixtures("alone")

ADAMW = Optim(optimizer="adamw", lr=1e-3, weight_decay=0.05)
PLAIN = Optim(nesterov=False, decay_on="all")
OPTIMS = {"sgd": Optim(), "plain": PLAIN, "no momentum": Optim(momentum=0.0), "adamw": ADAMW}


def test_adamw_is_what_torch_does() -> None:
    state = new_state(optim=ADAMW)
    plain = copy.deepcopy(state.model).train()
    decayed = [p for p in plain.parameters() if p.ndim > 1]
    rest = [p for p in plain.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), foreach=False)
    for k in range(3):
        gradients = [torch.full_like(p, 0.1 * (k + 1)) for p in plain.parameters()]
        for model, optimizer in ((state.model, state.optimizer), (plain, theirs)):
            for p, gradient in zip(model.parameters(), gradients, strict=True):
                p.grad = gradient.clone()
            optimizer.step()
    for ours, other in zip(state.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, other)


def test_the_heavy_ball_is_not_nesterov() -> None:
    """Two steps along a constant gradient g of 1 at rate 1: 1 + 1.9 against 1.9 + 2.71."""
    for optim, moved in ((Optim(nesterov=False), 2.9), (Optim(), 4.61)):
        model = torch.nn.Linear(1, 1, bias=False)
        before = model.weight.detach().clone()
        optimizer = make_optimizer(model, Optim(lr=1.0, weight_decay=0.0, nesterov=optim.nesterov))
        for _ in range(2):
            model.weight.grad = torch.ones_like(model.weight)
            optimizer.step()
        assert float(before - model.weight.detach()) == pytest.approx(moved)


@pytest.mark.parametrize("name", ["plain", "adamw"])
@pytest.mark.parametrize(("precision", "at"), [("fp32", 0), ("fp16", 0), ("fp16", 1)])
def test_a_skipped_step_leaves_the_optimizer_bit_for_bit(name: str, precision: str, at: int) -> None:
    """Also in the first step; it also leaves the counts of AdamW, which correct its bias."""
    state = new_state(precision, scale=64.0, optim=OPTIMS[name])
    step = new_step(state, precision)
    for k in range(at):
        step(iter([micro_batch(k)]), lr=1e-3, decay=0.5)
    before = bits(state)
    for k in range(3):
        step(iter([micro_batch(8 + k, scale=float("inf"))]), lr=1e-3, decay=0.5)
    assert bits(state) == before and state.step == at + 3
    step(iter([micro_batch(20)]), lr=1e-3, decay=0.5)
    assert bits(state) != before


@pytest.mark.parametrize("name", ["plain", "adamw"])
def test_a_resumed_state_goes_on_bit_for_bit(name: str) -> None:
    state, other = new_state(optim=OPTIMS[name]), new_state(optim=OPTIMS[name])
    step = new_step(state)
    for k in range(2):
        step(iter([micro_batch(k)]), lr=1e-3, decay=0.5)
    other.load_state_dict(copy.deepcopy(state.state_dict()))
    again = new_step(other)
    for k in range(2, 4):
        for each in (step, again):
            each(iter([micro_batch(k)]), lr=1e-3, decay=0.5)
    assert bits(state) == bits(other)


def test_a_checkpoint_has_the_same_tensors_before_the_first_step_as_after() -> None:
    """The memory for snapshots is allocated once, at the start."""
    for optim in OPTIMS.values():
        state = new_state(optim=optim)
        before = [t.shape for t in torch.utils._pytree.tree_leaves(state.state_dict()) if hasattr(t, "shape")]
        new_step(state)(iter([micro_batch(0)]), lr=1e-3, decay=0.5)
        after = [t.shape for t in torch.utils._pytree.tree_leaves(state.state_dict()) if hasattr(t, "shape")]
        assert before == after


def test_without_averaging_the_average_is_the_model() -> None:
    state = new_state()
    step = new_step(state)
    for k, scale in enumerate((1.0, float("inf"), 1.0)):
        step(iter([micro_batch(k, scale=scale)]), lr=0.1, decay=0.0)
        pairs = zip(state.model.state_dict().values(), state.average.model.state_dict().values(), strict=True)
        assert all(ours.equal(theirs) for ours, theirs in pairs)


def test_groups_are_described_with_their_counts() -> None:
    model = create_model("rexnet_0.2", num_classes=5)
    total = sum(p.numel() for p in model.parameters())
    told = describe_optimizer(make_optimizer(model, Optim(weight_decay=2e-5)))
    assert told["class"] == "torch.optim.sgd.SGD" and told["fused"] is True
    decayed, plain = told["groups"]
    assert decayed["weight_decay"] == 2e-5 and plain["weight_decay"] == 0.0
    assert decayed["parameters"] + plain["parameters"] == total
    (everything,) = describe_optimizer(make_optimizer(model, PLAIN))["groups"]
    assert everything == {
        "weight_decay": 2e-5,
        "tensors": decayed["tensors"] + plain["tensors"],
        "parameters": total,
    }


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"optimizer": "lamb"}, "--optimizer lamb --backend apex"),
        ({"optimizer": "adamw", "backend": "apex"}, "leave out --backend apex"),
        ({"beta2": 1.0}, "beta2 is 1"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, str], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        Optim(**settings)  # type: ignore[arg-type]


def test_without_apex_the_error_says_how_to_build_it() -> None:
    with pytest.raises(ValueError, match="APEX_CPP_EXT=1 APEX_CUDA_EXT=1 pip install") as caught:
        check_backend(Optim(backend="apex"), CPU)
    assert "leave out --backend apex" in str(caught.value)
    check_backend(Optim(), CPU)
