"""Which bad images are named, counted and allowed."""

from types import SimpleNamespace

import pytest
import torch

from launch.engine.bad_images import Bad, check_bad, gather_bad, most_bad
from launch.engine.meter import Meter, Waiting
from tests.engine.micro import micro_batch
from tests.engine.test_step import new_state, new_step

pytestmark = pytest.mark.usefixtures("alone")


def found(*ids: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(id=i, file=f"{i}.jpg", fault="is cut") for i in ids]


@pytest.mark.parametrize(
    ("share", "images", "most"),
    [(0.001, 1_281_167, 1281), (0.001, 4000, 4), (0.001, 30, 1), (0.1, 30, 3), (0.0, 30, 0), (1.0, 30, 30)],
)
def test_a_share_is_allowed_and_one_in_the_smallest_set(share: float, images: int, most: int) -> None:
    assert most_bad(share, images=images) == most
    bad = [Bad("train", i, f"{i}.jpg", "is cut") for i in range(most)]
    validation = [Bad("val", i, f"{i}.jpg", "is cut") for i in range(40)]
    check_bad(bad + validation, share=share, images=images)
    with pytest.raises(ValueError, match=rf"^{most + 1} of {images} training .* the {most} that --max-bad"):
        check_bad([*bad, Bad("train", most, "x.jpg", "is cut")], share=share, images=images)


def test_the_list_is_shown_up_to_a_length() -> None:
    bad = [Bad("train", i, f"{i}.jpg", "is cut") for i in range(33)]
    with pytest.raises(ValueError) as raised:
        check_bad(bad, share=0.1, images=100)
    message = str(raised.value)
    assert message.count("is cut") == 20 and "; and 13 more, all in metrics.jsonl. " in message
    assert message.endswith("or allow more: --max-bad 0.7")


def test_each_is_gathered_once() -> None:
    assert gather_bad(found(3, 1, 3), split="val", group=None) == (
        Bad("val", 1, "1.jpg", "is cut"),
        Bad("val", 3, "3.jpg", "is cut"),
    )


def test_the_meter_reports_what_the_state_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state()
    state.bad = [Bad("train", 7, "7.jpg", "is cut"), Bad("val", 2, "2.jpg", "is cut")]
    step = new_step(state)
    batches = [micro_batch(k) for k in range(3)]
    batches[0].bad, batches[1].bad = found(7, 4), found(2, 4)
    waiting = Waiting(iter(batches))
    meter = Meter(step, waiting)
    for _ in range(2):
        step(waiting, lr=0.01, decay=0.5)
    meter.read(stop=False)
    assert [bad.id for bad in meter.found] == [2, 4]
    monkeypatch.setattr(torch.distributed, "all_gather_object", None)  # nothing new: nothing to collect
    step(waiting, lr=0.01, decay=0.5)
    meter.read(stop=False)
    assert meter.found == ()


def test_a_checkpoint_keeps_them() -> None:
    state, other = new_state(), new_state()
    state.bad = [Bad("train", 7, "7.jpg", "is cut")]
    other.load_state_dict(state.state_dict())
    assert other.bad == state.bad
