"""Which device a process takes."""

import pytest
import torch

from launch.engine.distributed import find_device, find_place


@pytest.mark.parametrize(("visible", "expected"), [(8, [0, 1, 2, 3, 4, 5, 6, 7]), (1, [0] * 8)])
def test_each_process_takes_its_own_whether_it_sees_all_or_one(
    visible: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher that binds one GPU to each task shows each process that one alone, as number 0."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    found = []
    for local_rank in range(8):
        monkeypatch.setenv("LOCAL_RANK", str(local_rank))
        found.append(find_device(find_place()).index)
    assert found == expected
