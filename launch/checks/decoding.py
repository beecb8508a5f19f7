"""Whether DALI decodes here, tried by what trainings try it with, and its pinned versions. No torch."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from launch.checks.architecture import INSTALL
from launch.checks.finding import Finding
from pipeline.trial import find_fault

DALI, CODEC = "nvidia-dali-cuda120", "nvidia-nvimgcodec-cu12"

_TRAPPED = (0, 9)  # of nvImageCodec: https://github.com/NVIDIA/nvImageCodec/issues/55
_PINS = f'python -m pip install "{DALI}>=2.2,<2.3" "{CODEC}>=0.8,<0.9"'

Decode = Literal["auto", "gpu", "cpu", "measure"]
Window = Literal["auto", "roi", "crop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """What decodes."""

    dali: str | None
    codec: str | None
    asked: str
    way: str | None
    """In words; None where nothing decodes."""
    faults: tuple[str, ...]
    """Of what was tried before, as sentences."""


class Trial:
    """Decodes one batch as a training would, in a process of its own, beside what the caller does meanwhile.

    Begun before the caller loads torch, it costs no time where there are two cores; begun before the caller
    touches a GPU, it works where only one process may.
    """

    def __init__(self, *, local_rank: int, decode: Decode, window: Window) -> None:
        self.decode: Decode = decode
        self.window: Window = window
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decoding")
        first = partial(decode_first, local_rank=local_rank, decode=decode, window=window)
        self._first: Future[str | None] = self._pool.submit(find_fault, first)

    def result(self, *, device: Any) -> Decoding:
        """Waits for the trial; where it fails, tries what a training on `device` would try next."""
        fault = self._first.result()
        self._pool.shutdown()
        versions = {"dali": version_of(DALI), "codec": version_of(CODEC), "asked": self.decode}
        if versions["dali"] is None or (fault is None and device.type == "cpu"):
            return Decoding(way="the CPU, crops alone" if fault is None else None, faults=(), **versions)
        if device.type == "cpu":
            return Decoding(way=None, faults=(f"decoding on the CPU {fault}",), **versions)
        return self._next(device, fault, versions)

    def _next(self, device: Any, fault: str | None, versions: dict[str, Any]) -> Decoding:
        from pipeline import graph
        from pipeline.probe import decode_drawn, find_working

        placements = graph.placements(device, decode=self.decode, window=self.window)

        def probe(placement: graph.Placement) -> str | None:
            return fault if placement == placements[0] else find_fault(partial(decode_drawn, placement))

        found = find_working(placements, probe=probe)
        if len(placements) == 1 and fault is not None:  # what has no alternative was not tried there
            return Decoding(way=None, faults=(f"decoding on the {self.decode.upper()} {fault}",), **versions)
        if found.placement is None:
            return Decoding(way=None, faults=found.faults, **versions)
        where = "the GPU" if found.placement.decoder == "mixed" else "the CPU"
        how = "crops alone" if found.placement.window == "roi" else "whole images"
        return Decoding(way=f"{where}, {how}", faults=found.faults, **versions)


def decode_first(*, local_rank: int, decode: Decode, window: Window) -> None:
    """Decodes one drawn batch by the first way that a training would take; raises where that fails."""
    from launch.engine.distributed import Place, find_device
    from pipeline import graph
    from pipeline.probe import decode_drawn

    place = Place(rank=local_rank, world_size=1, local_rank=local_rank, local_world_size=1)
    decode_drawn(graph.placements(find_device(place), decode=decode, window=window)[0])


def judge(decoding: Decoding) -> Finding:
    """Returns what is to be said of DALI."""
    if decoding.dali is None:
        return Finding("error", "DALI is not installed", INSTALL)
    named = f"DALI {decoding.dali}, nvImageCodec {decoding.codec}"
    faults = ", and ".join(decoding.faults)
    if decoding.way is None:
        mended = "" if decoding.asked == "cpu" else "--decode cpu; "
        return Finding("error", f"{named}: {faults}", f"{mended}{_PINS}")
    trapped = decoding.codec is not None and _numbers(decoding.codec)[:2] >= _TRAPPED
    if decoding.faults:
        return Finding(
            "warning", f"{named} decodes on {decoding.way}, since {faults}", _PINS if trapped else ""
        )
    if trapped:
        return Finding(
            "warning",
            f"{named} decodes on {decoding.way}; from 0.9 on nvImageCodec is known to fail on some GPUs",
            _PINS,
        )
    return Finding("ok", f"{named}; one batch decoded on {decoding.way}")


def version_of(package: str) -> str | None:
    """Returns the installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
