"""Time between two points of a stream of work, kept without a wait for the device."""

import time

import torch


class HostWatch:
    """Of work that the host does itself."""

    def __init__(self) -> None:
        self._laps: list[float] = []
        self._started = 0.0

    def start(self) -> None:
        """Begins a lap."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Ends it."""
        self._laps.append(1000 * (time.perf_counter() - self._started))

    def read(self) -> list[float]:
        """Returns the milliseconds of each lap since the last reading."""
        laps, self._laps = self._laps, []
        return laps


class GpuWatch:
    """Of work that a GPU does, with the time in which it waits for the host's next piece."""

    def __init__(self) -> None:
        self._laps: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def start(self) -> None:
        """Begins a lap."""
        self._laps.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
        self._laps[-1][0].record()

    def stop(self) -> None:
        """Ends it."""
        self._laps[-1][1].record()

    def read(self) -> list[float]:
        """Returns the milliseconds of each lap since the last reading, once the last one has ended."""
        if self._laps:
            self._laps[-1][1].synchronize()
        laps = [first.elapsed_time(last) for first, last in self._laps]
        self._laps.clear()
        return laps
