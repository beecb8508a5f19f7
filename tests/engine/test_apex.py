"""The adapter to apex's optimizers, against a stand-in with their interface and their traps."""

import copy
import sys
from types import ModuleType

import pytest
import torch

from launch.engine.config import Optim
from launch.engine.optimizer import check_backend, describe_optimizer
from launch.engine.state import TrainState
from tests.engine.apex_stand_in import FusedLAMB, FusedSGD, modules
from tests.engine.micro import micro_batch
from tests.engine.test_step import CPU, bits, new_state, new_step

pytestmark = pytest.mark.usefixtures("alone", "apex")

SGD = Optim(backend="apex", weight_decay=5e-4)
LAMB = Optim(optimizer="lamb", backend="apex", weight_decay=0.01)


@pytest.fixture
def apex(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)


def trained(optim: Optim, *, steps: int) -> TrainState:
    state = new_state(optim=optim)
    step = new_step(state)
    for k in range(steps):
        step(iter([micro_batch(k)]), lr=0.01, decay=0.5)
    return state


def test_fused_sgd_steps_as_torchs() -> None:
    """In lock-step: each from the same state, since free-running training amplifies rounding."""
    ours, theirs = new_state(optim=SGD), new_state(optim=Optim(weight_decay=5e-4))
    assert isinstance(ours.optimizer, FusedSGD)
    steps = [new_step(ours), new_step(theirs)]
    for k in range(3):
        ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
        for step in steps:
            step(iter([micro_batch(k)]), lr=0.05, decay=0.5)
        for p, q in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


def test_a_run_may_change_its_backend() -> None:
    """torch's checkpoint goes on with apex and back; each keeps its own settings."""
    state, torchs = trained(SGD, steps=2), new_state(optim=Optim(weight_decay=5e-4))
    torchs.load_state_dict(copy.deepcopy(state.state_dict()))
    assert torchs.optimizer.param_groups[0]["fused"] is True
    new_step(torchs)(iter([micro_batch(5)]), lr=0.05, decay=0.5)
    again = new_state(optim=SGD)
    again.load_state_dict(copy.deepcopy(torchs.state_dict()))
    assert "fused" not in again.optimizer.param_groups[0]


def test_lamb_does_not_clip_by_itself() -> None:
    """A gradient 1000 times as large is another one to clipping, and to LAMB itself nearly none."""
    state = new_state(optim=LAMB)
    assert isinstance(state.optimizer, FusedLAMB)
    assert all(group["max_grad_norm"] == float("inf") for group in state.optimizer.param_groups)
    assert [group["weight_decay"] for group in state.optimizer.param_groups] == [0.01, 0.0]


@pytest.mark.parametrize("optim", [SGD, LAMB], ids=["sgd", "lamb"])
@pytest.mark.parametrize("at", [0, 1])
def test_a_skipped_step_leaves_everything(optim: Optim, at: int) -> None:
    state = trained(optim, steps=at)
    step, before = new_step(state), bits(state)
    counts = [group.get("step", 0) for group in state.optimizer.param_groups]
    step(iter([micro_batch(8, scale=float("inf"))]), lr=0.01, decay=0.5)
    assert bits(state) == before and state.step == at + 1
    assert [group.get("step", 0) for group in state.optimizer.param_groups] == counts
    step(iter([micro_batch(9)]), lr=0.01, decay=0.5)
    assert bits(state) != before


@pytest.mark.parametrize("optim", [SGD, LAMB], ids=["sgd", "lamb"])
def test_a_state_of_other_strides_goes_on_bit_for_bit(optim: Optim) -> None:
    """Saved contiguous, trained channels-last: the kernels would mix up what is not laid out anew."""
    state = trained(optim, steps=2)
    saved = copy.deepcopy(state.state_dict())
    for entry in saved["optimizer"]["state"].values():
        for name, value in entry.items():
            entry[name] = value.contiguous().clone()
    other = new_state(optim=optim)
    other.load_state_dict(saved)
    for parameter, entry in other.optimizer.state.items():
        assert all(value.stride() == parameter.stride() for value in entry.values())
    for each in (state, other):
        new_step(each)(iter([micro_batch(5)]), lr=0.01, decay=0.5)
    assert bits(state) == bits(other)
    counts = [group.get("step") for group in other.optimizer.param_groups]
    assert counts == ([3, 3] if optim is LAMB else [None, None])


def test_run_json_says_whose_it_is() -> None:
    told = describe_optimizer(new_state(optim=LAMB).optimizer)
    assert told["class"].endswith("FusedLAMB") and told["fused"] is True and len(told["groups"]) == 2


def test_it_wants_a_gpu() -> None:
    with pytest.raises(ValueError, match="apex's optimizers are for GPUs"):
        check_backend(SGD, CPU)


def test_a_strangers_apex_and_one_without_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("amp_C", "apex.optimizers"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "apex", ModuleType("apex"))
            patch.setitem(sys.modules, missing, None)  # as where there is none
            with pytest.raises(ValueError, match=r"wants NVIDIA's apex with CUDA extensions .*--group apex"):
                check_backend(SGD, torch.device("cuda"))
