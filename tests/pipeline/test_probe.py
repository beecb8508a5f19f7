"""The trial of decoding: whatever happens to its process is told, and the next way is taken."""

import multiprocessing
import time
from functools import partial
from typing import Any

import pytest
import torch

from pipeline import graph, probe
from pipeline.graph import Placement
from pipeline.probe import Found, decode_drawn, find_working
from pipeline.trial import find_fault
from tests.pipeline import stand_ins

CUDA = torch.device("cuda", 0)
CROP = Placement(operators="cpu", decoder="cpu", device_id=None, window="crop")


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        (stand_ins.succeed, None),
        (stand_ins.fail, "fails: nvImageCodec failure: '#8'"),
        (stand_ins.fail_as_dali_does, "fails: [/opt/decoder.h:7] Failed to decode sample #3"),
        (stand_ins.fail_silently, "fails: RuntimeError"),
        (stand_ins.crash, "ends by SIGSEGV"),
        (stand_ins.leave, "ends with exit code 7"),
    ],
)
def test_what_happens_to_the_process_is_told(trial: Any, told: str | None) -> None:
    assert find_fault(trial) == told


def test_a_process_that_hangs_is_ended() -> None:
    began = time.monotonic()
    assert find_fault(stand_ins.hang, patience=2) == "has not ended after 2 s"
    assert time.monotonic() - began < 8 and not multiprocessing.active_children()


def test_the_real_trial_goes_well_in_a_process_of_its_own() -> None:
    assert find_fault(partial(decode_drawn, CROP)) is None


@pytest.mark.parametrize("harm", ["other window", "mirrored", "black", "not a number"])
def test_other_images_are_a_fault(harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = probe._decode

    def wrong(files: Any, windows: Any, placement: Placement) -> torch.Tensor:
        if placement == CROP and harm == "other window":
            windows = (windows[0] + 16, windows[1])
        images = decode(files, windows, placement)
        if placement == CROP and harm != "other window":
            images = {"mirrored": images.flip(3), "black": images - 3, "not a number": images / 0 * 0}[harm]
        return images

    monkeypatch.setattr(probe, "_decode", wrong)
    with pytest.raises(ValueError, match="shows other images than on the CPU"):
        decode_drawn(CROP)


def faulty(*windows: str) -> Any:
    """A machine whose GPU crashes over crops alone, over whole images, or over both."""
    return lambda placement: "ends by SIGSEGV" if placement.window in windows else None


@pytest.mark.parametrize(
    ("decode", "broken", "decoder", "window", "faults"),
    [
        ("auto", (), "mixed", "roi", 0),
        ("auto", ("roi",), "mixed", "crop", 1),
        ("auto", ("roi", "crop"), "cpu", "roi", 2),
        ("measure", ("roi", "crop"), "cpu", "roi", 2),
        ("gpu", ("roi",), "mixed", "crop", 1),
        ("cpu", ("roi", "crop"), "cpu", "roi", 0),
    ],
)
def test_the_first_that_works_is_taken(
    decode: Any, broken: tuple[str, ...], decoder: str, window: str, faults: int
) -> None:
    found = find_working(graph.placements(CUDA, decode=decode), probe=faulty(*broken))
    assert found.placement is not None
    assert (found.placement.decoder, found.placement.window) == (decoder, window)
    told = (
        "decoding crops alone on the GPU ends by SIGSEGV",
        "decoding whole images on the GPU ends by SIGSEGV",
    )
    assert found.faults == told[:faults]


def test_nothing_that_was_asked_for_works() -> None:
    found = find_working(graph.placements(CUDA, decode="gpu"), probe=faulty("roi", "crop"))
    assert found.placement is None and len(found.faults) == 2


def test_what_has_no_alternative_is_not_tried() -> None:
    def never(placement: Placement) -> str | None:
        raise AssertionError("no process is needed for that")

    for placements in (
        graph.placements(torch.device("cpu"), decode="auto"),
        graph.placements(CUDA, decode="gpu", window="roi"),
        graph.placements(CUDA, decode="cpu"),
    ):
        assert find_working(placements, probe=never) == Found(placement=placements[0])


def test_a_process_tells_what_is_found() -> None:
    """By real processes: the trial crashes for crops alone and goes well for whole images."""
    trials = {"roi": stand_ins.crash, "crop": stand_ins.succeed}
    found = find_working(
        graph.placements(CUDA, decode="auto"), probe=lambda placement: find_fault(trials[placement.window])
    )
    assert found.placement is not None and found.placement.window == "crop"
    assert found.faults == ("decoding crops alone on the GPU ends by SIGSEGV",)
