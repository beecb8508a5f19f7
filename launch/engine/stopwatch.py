"""Time between two points of a stream of work, added up without a wait for the device."""

import time

import torch


class HostWatch:
    """Of work that the host does itself."""

    def __init__(self) -> None:
        self._seconds, self._laps, self._started = 0.0, 0, 0.0

    def start(self) -> None:
        """Begins a lap."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Ends it."""
        self._seconds += time.perf_counter() - self._started
        self._laps += 1

    def read(self) -> float:
        """Returns the mean milliseconds of the laps since the last reading; 0 where there were none."""
        mean = 1000 * self._seconds / max(self._laps, 1)
        self._seconds, self._laps = 0.0, 0
        return mean


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

    def read(self) -> float:
        """Returns the mean milliseconds of the laps since the last reading, once the last one has ended."""
        if not self._laps:
            return 0.0
        self._laps[-1][1].synchronize()
        mean = sum(first.elapsed_time(last) for first, last in self._laps) / len(self._laps)
        self._laps.clear()
        return mean
