"""What a line of metrics tells of speed, memory and energy."""

import sys
from types import SimpleNamespace

import pytest
import torch

from launch.engine import gauges
from launch.engine.meter import Meter, Waiting
from tests.engine.micro import micro_batch
from tests.engine.test_faults import small_state
from tests.engine.test_step import new_step

pytestmark = pytest.mark.usefixtures("alone")


class Told:
    """A device that tells what it is made to."""

    def __init__(self, *, memory: float, energy: float) -> None:
        self._memory, self._energy = memory, energy

    def memory(self) -> float:
        return self._memory

    def energy(self) -> float:
        return self._energy


def lines(count: int, *, device: Told | None = None) -> dict[str, float | str]:
    step = new_step(small_state())
    if device is not None:
        step.gauges = device  # type: ignore[assignment]
    waiting = Waiting(micro_batch(k) for k in range(count))
    meter = Meter(step, waiting)
    for _ in range(count):
        step(waiting, lr=0.1, decay=0.5)
    return meter.read(stop=False)[0]


def test_step_times_and_speeds_fit_together() -> None:
    found = lines(20)
    low, high, highest = (float(found[f"speed/step_ms_p{p}"]) for p in (50, 95, 99))
    assert 0 < low <= high <= highest
    assert 20 * low / 1000 < 2 * float(found["speed/seconds"])
    assert found["speed/images_per_s"] == found["speed/images_per_s_per_gpu"]
    assert found["speed/images_per_s"] == pytest.approx(20 * 8 / float(found["speed/seconds"]))
    assert not any(name.startswith("cost/") for name in found)  # a CPU tells nothing


def test_percentiles_are_of_the_steps_since_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    step = new_step(small_state())
    monkeypatch.setattr(step.whole, "read", lambda: [float(ms) for ms in range(1, 102)])
    waiting = Waiting(iter([micro_batch(0)]))
    meter = Meter(step, waiting)
    step(waiting, lr=0.1, decay=0.5)
    found, _ = meter.read(stop=False)
    assert [found[f"speed/step_ms_p{p}"] for p in (50, 95, 99)] == [51.0, 96.0, 100.0]


def test_what_a_device_tells_is_told() -> None:
    found = lines(1, device=Told(memory=2.5, energy=300.0))
    assert (found["cost/gpu_memory_gib"], found["cost/joules"]) == (2.5, 300.0)
    found = lines(1, device=Told(memory=2.5, energy=gauges.UNKNOWN))
    assert found["cost/gpu_memory_gib"] == 2.5 and "cost/joules" not in found


class Nvml:
    """NVML's bindings, as far as they are used."""

    class NVMLError(Exception): ...

    def __init__(self, *, fails: bool = False) -> None:
        self.millijoules, self.fails = 5000, fails

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        assert uuid == "GPU-4a-5b"
        return "handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.fails:
            raise self.NVMLError("Not Supported")
        return self.millijoules


def test_energy_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="4a-5b"))
    bindings = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", bindings)
    found = gauges.GpuGauges(device)
    bindings.millijoules += 2500
    assert (found.energy(), found.energy()) == (2.5, 0.0)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(fails=True))
    assert str(gauges.GpuGauges(device).energy()) == "nan"
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert str(gauges.GpuGauges(device).energy()) == "nan"


def test_distance_of_the_average() -> None:
    state = small_state()
    assert state.average.distance(state.model) == 0.0
    with torch.no_grad():
        for weight in state.model.parameters():
            weight.mul_(2.0)
    assert state.average.distance(state.model) == pytest.approx(0.5)
