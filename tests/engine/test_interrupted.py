"""An evaluation that all ranks leave together is made up for by the next attempt."""

import copy
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from launch.engine.agreement import Agreement, Interrupted, interruptible
from launch.engine.metrics import Score
from launch.engine.preemption import StopRequest
from launch.engine.pulse import silent_pulse
from tests.engine import ranks
from tests.engine.micro import Micro, micro_batch
from tests.engine.test_faults import new_loop, small_state


class Scores:
    """Stands in for an evaluation; the first one is interrupted."""

    def __init__(self, *, interrupted: bool) -> None:
        self.interrupted, self.count = interrupted, 0

    def __call__(self, model: Any) -> Score:
        if self.interrupted:
            raise Interrupted
        self.count += 1
        return Score(hits1=1, hits5=2, images=4, loss=1.0)


@pytest.mark.usefixtures("alone")
def test_an_interrupted_evaluation_is_made_up_for(tmp_path: Path) -> None:
    """Three epochs of three steps; the evaluation at step 3 is left."""
    state, lines, ones = small_state(), list[Any](), [1.0] * 9
    parts = {"max_skipped": 4, "epochs": 3, "written": lines}
    assert new_loop(state, ones, tmp_path, score=Scores(interrupted=True), **parts).run() is True
    assert [line["step"] for line in lines if line["kind"] == "eval"] == []
    again = small_state()
    again.load_state_dict(copy.deepcopy(state.state_dict()))
    assert again.step == 3
    scores = Scores(interrupted=False)
    assert new_loop(again, ones, tmp_path, score=scores, **parts).run() is False
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [3, 6]
    assert scores.count == 2  # the last epoch's score is the caller's
    kinds = [(line["kind"], line["step"]) for line in lines if line["kind"] != "event"]
    assert kinds.index(("eval", 3)) == kinds.index(("train", 3)) + 1


@pytest.mark.usefixtures("alone")
def test_told_after_an_evaluation_it_stops_there(tmp_path: Path) -> None:
    state, lines = small_state(), list[Any]()
    scores = Scores(interrupted=False)
    loop = new_loop(state, [1.0] * 9, tmp_path, max_skipped=4, epochs=3, written=lines, score=scores)
    loop.stop.asked = False
    take = scores.__call__

    def score(model: Any) -> Score:
        loop.stop.asked = True
        return take(model)

    loop.score = score
    assert loop.run() is True
    assert state.step == state.scored == 3
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [3]


def uneven(folder: Path) -> None:
    """What each rank does: rank 0 has 9 batches and rank 1 has 8; rank 1 is told to stop at its second."""
    rank, shown, stop = dist.get_rank(), 0, StopRequest()

    def batches() -> Generator[Micro]:
        for k in range(9 - rank):
            stop.asked = stop.asked or (rank == 1 and k == 1)
            yield micro_batch(k)

    pulse, agreement = silent_pulse(), Agreement(stop)
    try:
        for _ in interruptible(batches, most=9, agreement=agreement, pulse=pulse):  # type: ignore[arg-type]
            shown += 1
    except Interrupted:
        (folder / f"interrupted-{rank}").write_text(str(shown))


def test_all_ranks_leave_at_the_same_batch(tmp_path: Path) -> None:
    """Asked at batches 0, 4 and 8; what is said at one is known at the next."""
    assert ranks.run(uneven, tmp_path, folder=tmp_path) == [0, 0]
    assert [(tmp_path / f"interrupted-{rank}").read_text() for rank in range(2)] == ["8", "8"]
