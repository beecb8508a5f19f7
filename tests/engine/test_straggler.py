"""Which rank is the slowest, told by the numbers that a log boundary gathers anyway."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from launch.engine.meter import Meter, Waiting
from launch.engine.pulse import Pulse
from launch.track.terminal import Terminal
from tests.engine import ranks
from tests.engine.micro import Micro, micro_batch
from tests.engine.test_faults import small_state
from tests.engine.test_step import new_step

LATE = 0.5  # seconds


def slow_second(folder: Path) -> None:
    """What each rank does: three steps, of which rank 1 waits long for its images."""
    rank = dist.get_rank()

    def batches() -> Iterator[Micro]:
        for k in range(3):
            time.sleep(LATE * rank)
            yield micro_batch(k)

    store = dist.distributed_c10d._get_default_store()
    pulse = Pulse(rank, hosts=("one", "two"), store=store)
    waiting = Waiting(batches(), pulse=pulse)
    step = new_step(small_state())
    meter = Meter(step, waiting)
    for _ in range(3):
        step(waiting, lr=0.1, decay=0.5)
    metrics, _ = meter.read(stop=False)
    torch.save(metrics, folder / f"{rank}.pt")


def test_the_slowest_is_named_on_all_ranks(tmp_path: Path) -> None:
    assert ranks.run(slow_second, tmp_path, folder=tmp_path) == [0, 0]
    for rank in range(2):
        metrics = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert (metrics["speed/slowest_rank"], metrics["speed/slowest_host"]) == (1, "two")
        # With the time in which rank 0 waits for rank 1, both would be as slow.
        assert metrics["speed/step_ms_max"] >= 1000 * LATE
        assert metrics["speed/step_ms_max"] - metrics["speed/step_ms_min"] > 500 * LATE
        middle = (metrics["speed/step_ms_min"] + metrics["speed/step_ms_max"]) / 2
        assert metrics["speed/step_ms_median"] == middle


def test_the_terminal_is_silent_about_one_rank() -> None:
    times = {"speed/step_ms_min": 11.2, "speed/step_ms_median": 12.0, "speed/step_ms_max": 31.9}
    record = {"kind": "train", "step": 1, "epoch": 0.1, **times}
    for more, told in (({}, 0), ({"speed/slowest_rank": 3, "speed/slowest_host": "node07"}, 1)):
        stream = io.StringIO()
        Terminal(stream=stream).write(record | more)
        assert stream.getvalue().count("11/12/32 ms, slowest rank 3 on node07") == told
        assert ("slowest" in stream.getvalue()) == bool(told)
