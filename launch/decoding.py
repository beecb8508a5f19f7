"""Where and how a run's images are decoded: asked for, found out at its first start and kept, or timed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch.distributed as dist

from launch.engine.distributed import Place, find_device
from launch.engine.ports import MicroBatch
from launch.measuring import FAR, measure_rates
from pipeline import graph
from pipeline.config import Feeding
from pipeline.probe import Found, find_working

if TYPE_CHECKING:
    from launch.session import Session


def try_decoding(feeding: Feeding, place: Place) -> Found | None:
    """Returns what decodes on this machine; None on all but its first process.

    For a GPU whose compute mode admits one process, this one must not have touched it yet.
    """
    if place.local_rank:
        return None
    return find_working(graph.placements(find_device(place), decode=feeding.decode, window=feeding.window))


def choose_decoding(
    session: Session, tried: Found | None, *, earlier: Mapping[str, str] | None, say: Callable[[str], None]
) -> tuple[Feeding, str]:
    """Returns the run's feeding with nothing left open, and how that was found; the same on every rank.

    Of machines that found different things, the most careful decides for all.

    Args:
        earlier: what run.json says was found, where this run has begun before.

    Raises:
        ValueError: decoding on the GPU was asked for, and does not work.
    """
    everybody: list[Found | None] = [None] * session.world.place.world_size
    dist.all_gather_object(everybody, tried, group=session.world.host_group)
    found = most_careful([each for each in everybody if each is not None])
    asked, feeding = session.asked.feeding, session.run.feeding
    if earlier is not None and feeding != asked:
        return settle(feeding, found), earlier["decode_found"]
    if feeding.decode == "measure":
        chosen, why = _fastest(session, found, say=say)
    else:
        chosen, why = settle(feeding, found), _why(feeding, found)
    if found.faults or feeding.decode == "measure":
        say(f"decode {chosen.decode}, window {chosen.window}, {why}")
    return chosen, why


def most_careful(machines: Sequence[Found]) -> Found:
    """Returns the one that had to pass over the most, of machines that tried the same in the same order."""
    return max(machines, key=lambda found: len(found.faults))


def settle(feeding: Feeding, found: Found) -> Feeding:
    """Returns `feeding` with what was found in the place of what it leaves open.

    Raises:
        ValueError: nothing was found.
    """
    if found.placement is None:
        raise ValueError(
            f"decode is {feeding.decode}, but {', and '.join(found.faults)}; "
            "use --decode auto or --decode cpu"
        )
    decode = "gpu" if found.placement.decoder == "mixed" else "cpu"
    return replace(feeding, decode=decode, window=found.placement.window)


def time_ways(session: Session, ways: Mapping[str, Feeding], *, seconds: float = 10.0) -> dict[str, float]:
    """Returns the images per second of a process that feeds this run each way; the same on every rank.

    All ranks feed at the same time, as in training; the slowest one counts, for the others wait for it.
    """
    place = session.world.place
    own = measure_rates(
        {name: partial(_stream, session, feeding) for name, feeding in ways.items()}, seconds=seconds
    )
    everybody: list[dict[str, float]] = [{}] * place.world_size
    dist.all_gather_object(everybody, own, group=session.world.host_group)
    return {name: min(rates[name] for rates in everybody) for name in ways}


def _why(feeding: Feeding, found: Found) -> str:
    if found.faults:
        return f"since {', and '.join(found.faults)}"
    if feeding.decode == "cpu" or (feeding.decode == "gpu" and feeding.window != "auto"):
        return "asked for"
    assert found.placement is not None
    return "tried" if found.placement.decoder == "mixed" else "the training device is a CPU"


def _fastest(session: Session, found: Found, *, say: Callable[[str], None]) -> tuple[Feeding, str]:
    feeding = session.run.feeding
    by_cpu = Found(placement=graph.place(session.world.device, decode="cpu", window=feeding.window))
    settled = [settle(feeding, each) for each in (found, by_cpu)]
    ways = {way.decode: way for way in settled}
    if len(ways) == 1:
        cause = _why(replace(feeding, decode="auto"), found)
        return settled[0], f"nothing to measure: only the CPU decodes here, {cause}"
    say(f"timing to decode by {' and '.join(ways)}")
    rates = time_ways(session, ways)
    told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    best = max(rates, key=lambda name: rates[name])
    return ways[best], f"measured, images/s of a process: {told}"


def _stream(session: Session, feeding: Feeding, step: int) -> Generator[MicroBatch]:
    return session.train_batches(from_step=step, to_step=FAR, feeding=feeding)
