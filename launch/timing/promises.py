"""What `launch/benchmark.py --check` holds figures against: two CPU cores, 128 pixels, batch 64."""

from __future__ import annotations

from launch.timing.rounds import Measured, ratios

PROMISED = ("train", "scale")
"""Modes of which something is promised."""

_MOST_WAIT = 2.0  # percent of a step
_LEAST_BY_TWO = 0.85  # of one process with both threads
_LEAST_OF_TIMM = {"timm": 1.3, "timm, this allocator": 1.1}


def broken(mode: str, measured: Measured) -> list[str]:
    """Returns what was promised and is not so; ratios are medians of rounds."""
    found = []
    if mode == "train":
        for way, figures in measured.items():
            if "data wait %" in figures and figures["data wait %"].median >= _MOST_WAIT:
                found.append(
                    f"{way} waits {figures['data wait %']} % for data, promised: below {_MOST_WAIT:g} %"
                )
        for peer, least in _LEAST_OF_TIMM.items():
            if peer in measured:
                found += _against(measured, peer, least=least)
    if mode == "scale" and len(measured) > 1:
        one, two, *_ = measured
        times = ratios(measured, "images/s", of=two, to=one)
        if times.median < _LEAST_BY_TWO:
            found.append(f"{two} trains {times} times as fast as {one}, promised: {_LEAST_BY_TWO:g}")
    return found


def _against(measured: Measured, peer: str, *, least: float) -> list[str]:
    found = []
    times = ratios(measured, "images/s", of="this repo", to=peer)
    if times.median < least:
        found.append(f"{times} times as fast as {peer}, promised: {least:g}")
    memory = ratios(measured, "peak memory MiB", of="this repo", to=peer)
    if memory.median > 1:
        found.append(f"{memory} times the memory of {peer}, promised: at most 1")
    return found
