"""Values that are not finite: the step is skipped on all ranks without a wait for the device, and counted."""

import copy
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from launch.engine.checkpoint import Checkpoints
from launch.engine.config import Ema, Keeping, Optim
from launch.engine.course import Course
from launch.engine.divergence import Diverged
from launch.engine.loop import Loop
from launch.engine.meter import Waiting
from launch.engine.optimizer import make_optimizer
from launch.engine.ports import Happening
from launch.engine.preemption import StopRequest
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import Step, make_scaler
from tests.engine import ranks
from tests.engine.micro import Micro, micro_batch
from tests.engine.test_step import CPU, bits, new_state, new_step

alone = pytest.mark.usefixtures("alone")
INF = float("inf")


class Small(nn.Module):
    """Logits from mean colours; what is not finite ends behind the norm, or one class can be impossible."""

    def __init__(self, *, impossible: bool = False):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, affine=False)
        self.head = nn.Linear(3, 5)
        self.register_buffer(
            "offset", torch.tensor([0, 0, 0, 0, -INF if impossible else 0.0]), persistent=False
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(images).nan_to_num().mean(dim=(2, 3))) + self.offset


def small_state(*, impossible: bool = False) -> TrainState:
    torch.manual_seed(0)
    model = Small(impossible=impossible)
    return TrainState(
        model=model,
        average=Average(model),
        stats=RunningStats(model),
        optimizer=make_optimizer(model, Optim()),
        scaler=make_scaler("fp32", device=CPU, scale=1.0),
    )


def infinite_activation(batch: Micro) -> Micro:
    batch.images[0, 1, 3, 3] = INF
    return batch


@alone
def test_an_infinite_activation_skips_although_loss_and_gradients_are_finite() -> None:
    state = small_state()
    step = new_step(state)
    step(iter([micro_batch(0)]), lr=0.1, decay=0.5)
    before = bits(state)
    step(iter([infinite_activation(micro_batch(1))]), lr=0.1, decay=0.5)
    assert step.losses.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in state.model.parameters())
    assert bits(state) == before and step.streak == 1


@alone
def test_an_activation_whose_square_overflows_skips() -> None:
    """The variance is infinite, so the norm's output is 0, and loss and gradients are finite."""
    state = new_state()
    step = new_step(state)
    before = bits(state)
    step(iter([micro_batch(0, scale=1e25)]), lr=0.1, decay=0.5)
    assert step.losses.isfinite().all()
    assert bits(state) == before and step.streak == 1


@alone
def test_an_infinite_loss_skips_although_gradients_and_activations_are_finite() -> None:
    state = small_state(impossible=True)
    step = new_step(state)
    before = bits(state)
    batch = micro_batch(0)
    batch.labels = batch.labels_b = torch.full((8,), 4)
    step(iter([batch]), lr=0.1, decay=0.5)
    assert not step.losses.isfinite().any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in state.model.parameters())
    assert bits(state) == before and step.totals.tolist() == [0, 0, 0, 1]


@alone
def test_the_streak_ends_with_a_step_that_is_taken() -> None:
    step = new_step(small_state())
    found = []
    for k, scale in enumerate((INF, INF, 1.0, INF)):
        step(iter([micro_batch(k, scale=scale)]), lr=0.1, decay=0.5)
        found.append(int(step.streak))
    assert found == [1, 2, 0, 1]


def new_loop(
    state: TrainState,
    scales: list[float],
    folder: Path,
    *,
    max_skipped: int,
    written: list[Any],
    epochs: int = 1,
    score: Callable[[nn.Module], Any] = lambda model: pytest.fail("no evaluation was due"),
) -> Loop:
    class Kept:
        write = written.append

        def close(self, *, state: str) -> None: ...

    def batches(*, from_step: int, to_step: int) -> Generator[Micro]:
        for k in range(from_step, to_step):
            yield micro_batch(k, scale=scales[k])

    checkpoints = Checkpoints(folder, fields={}, say=print)

    class Saver:
        failed = 0

        def __call__(self, *, due: bool, wait: bool) -> Iterator[Happening]:
            if due or wait:
                torch.save(checkpoints.content(state), checkpoints.last)
            return iter(())

    return Loop(
        Course(batch=8, images=8 * len(scales) // epochs, epochs=epochs, log_every=2),
        new_step(state),
        optim=Optim(),
        ema=Ema(),
        keeping=Keeping(checkpoint_minutes=0),
        batches=batches,  # type: ignore[arg-type]
        score=score,
        save=Saver(),
        tracker=Kept(),  # type: ignore[arg-type]
        stop=StopRequest(),
        references={},
        restarts=0,
        max_bad=0.1,
        max_skipped=max_skipped,
        name_image=lambda i: f"{i}.jpg",
    )


@alone
def test_too_many_skipped_in_a_row_end_the_run_with_a_diagnosis(tmp_path: Path) -> None:
    state, written = small_state(), list[Any]()
    loop = new_loop(state, [1.0, 1.0, INF, INF, INF, INF, 1.0], tmp_path, max_skipped=4, written=written)
    with pytest.raises(Diverged) as raised:
        loop.run(until=6)
    message = str(raised.value)
    for part in (
        "4 optimizer steps in a row, 3 to 6,",
        "the weights are those after step 2.",
        "Loss scale 1,",
    ):
        assert part in message
    assert "micro-batch 0, loss" in message and "of 0.jpg, 1.jpg, 2.jpg and 5 more" in message
    assert message.endswith("--max-skipped 8")
    assert written[-1]["event"] == "diverged" and written[-1]["images"].count(".jpg") == 8
    # The newest checkpoint is of the streak's middle; its weights are those before the streak.
    saved = Checkpoints(tmp_path, fields={}, say=print).load()
    assert saved is not None and saved["step"] == 4 and saved["streak"] == 2
    again = small_state()
    again.load_state_dict(saved)
    assert bits(again) == bits(state)


@alone
def test_going_on_counts_the_streak_on(tmp_path: Path) -> None:
    state = small_state()
    scales = [1.0, 1.0, INF, INF, INF, INF, 1.0]
    new_loop(state, scales, tmp_path, max_skipped=4, written=[]).run(until=4)
    again = small_state()
    again.load_state_dict(copy.deepcopy(state.state_dict()))
    with pytest.raises(Diverged, match="4 optimizer steps in a row, 3 to 6"):
        new_loop(again, scales, tmp_path, max_skipped=4, written=[]).run(until=6)


@alone
def test_a_streak_that_ended_by_itself_ends_no_run(tmp_path: Path) -> None:
    state, written = small_state(), list[Any]()
    loop = new_loop(state, [INF] * 5 + [1.0] * 2, tmp_path, max_skipped=6, written=written)
    assert loop.run(until=6) is False
    lines = [line for line in written if line["kind"] == "train"]
    assert [line["health/skipped_in_a_row"] for line in lines] == [2, 4, 0]
    assert [line["health/skipped_steps"] for line in lines] == [2, 4, 5]


@alone
@pytest.mark.parametrize("overflows", [{0, 1, 2}, {1, 3, 4}])
def test_three_overflows_leave_the_run_on_its_schedule(overflows: set[int], tmp_path: Path) -> None:
    """The first step's, too: every later step has the rate and the images that it has without them."""
    lines: dict[bool, list[Any]] = {}
    for forced in (False, True):
        state, written = small_state(), list[Any]()
        scales = [INF if forced and k in overflows else 1.0 for k in range(8)]
        assert new_loop(state, scales, tmp_path, max_skipped=6, written=written).run() is False
        assert state.step == 8 and state.skipped == (3 if forced else 0)
        lines[forced] = [line for line in written if line["kind"] == "train"]
    clock = ("step", "epoch", "images_seen", "train/lr")
    with_them, without = (
        [[line[name] for name in clock] for line in lines[forced]] for forced in (True, False)
    )
    assert with_them == without and len(without) == 4
    assert len({line["train/lr"] for line in lines[True]}) == 4


WAITING = {
    "item",
    "cpu",
    "tolist",
    "numpy",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "nonzero",
    "equal",
}


class Calls(TorchFunctionMode):
    """Notes calls of tensors' methods that would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in WAITING:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    """Notes operations that would, from wherever they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if masked or name in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def waits(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns what `work` calls that would wait for a GPU."""
    found = list[str]()
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "synchronize", lambda *_: found.append("synchronize"))
        with Calls() as calls, Operations() as operations:
            work()
    return found + calls.found + operations.found


@alone
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_step_waits_for_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state(precision)
    step = new_step(state, precision, accumulation=2, clip=1.0)
    for scale in (INF, 1.0):
        batches = Waiting(micro_batch(k, scale=scale) for k in range(2))
        assert waits(lambda: step(batches, lr=0.1, decay=0.5), monkeypatch) == []  # noqa: B023
    assert state.step == 2


def test_waiting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    one = torch.ones(1)
    for work in (one.item, one.cpu, one.tolist, one.nonzero, lambda: bool(one > 0), lambda: one[one > 0]):
        assert waits(work, monkeypatch), work
    assert waits(lambda: torch.cuda.synchronize(), monkeypatch) == ["synchronize"]


def one_rank_alone(fault: str, folder: Path) -> None:
    """What each rank does: a good step, one with a fault on rank 1 alone, another good one."""
    rank = dist.get_rank()
    state = new_state() if fault == "square" else small_state()
    step = Step(
        state,
        optim=Optim(),
        precision="fp32",
        device=CPU,
        accumulation=1,
        first_micro_batch=rank,
        draw_seed=lambda step, micro: 1000 * step + micro,
    )
    steps = []
    for k in range(3):
        batch = micro_batch(10 * k + rank)
        if k == 1 and rank == 1:
            if fault == "square":
                batch.images *= 1e25
            elif fault == "activation":
                infinite_activation(batch)
            else:
                batch.weight[0] = float("nan")
        step(iter([batch]), lr=0.1, decay=0.5)
        steps.append(bits(state))
    torch.save((steps, float(step.totals[3])), folder / f"{rank}.pt")


@pytest.mark.parametrize("fault", ["activation", "square", "loss"])
def test_a_fault_on_one_rank_skips_the_step_on_all(fault: str, tmp_path: Path) -> None:
    assert ranks.run(one_rank_alone, fault, tmp_path, folder=tmp_path) == [0, 0]
    (ours, skipped), theirs = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert (ours, skipped) == theirs and skipped == 1
    assert ours[0] == ours[1] != ours[2]
