"""The doctor program: looks at every machine of a job, and says in one table whether a run could train."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from launch.checks import (
    all_reduce,
    binding,
    decoding,
    disk,
    machines,
    reading,
    table,
)
from launch.checks.finding import Finding, looked
from launch.config import Run
from launch.engine.faults import gist
from launch.inspection import Report, inspect
from launch.plan import make_plan

if TYPE_CHECKING:
    from launch.engine.distributed import Place, World

_JOINING = timedelta(minutes=1)  # and join's two: for the process of a machine that tries to decode
_SECONDS = 4.0  # of timing the images


def examine(run: Run, *, named: bool, quick: bool, as_json: bool, reachable: Callable[[str], bool]) -> int:
    """Looks, prints the table on rank 0, and returns the exit code: 1 where anything is an error.

    Every process of a job must call this.

    Args:
        named: whether the user asked for this very run, which must then fit the number of processes.
        quick: index nothing, and time no images.
        reachable: whether the server of an address answers.
    """
    began = time.monotonic()
    trial = None
    if os.environ.get("LOCAL_RANK", "0") == "0":  # before this process loads torch: see Trial
        feeding = run.feeding
        trial = decoding.Trial(local_rank=0, decode=feeding.decode, window=feeding.window)
    from launch.engine.distributed import find_device, find_place, join

    place = find_place()
    device = find_device(place)
    report = inspect(run, place, device, trial=trial, quick=quick, reachable=reachable)
    if named and place.first:
        report.found["batch"] = _judge_batch(run, place)

    def show(reports: Sequence[Report], found: Mapping[str, Finding]) -> int:
        rows = _rows(reports, found)
        if place.first:
            about = {each.host: each.machine for each in reports if each.machine is not None}
            print(table.drawn(rows, about, seconds=time.monotonic() - began, as_json=as_json), flush=True)
        return 1 if table.worst(rows) == "error" else 0

    try:
        world = join(place, timeout=_JOINING)
    except Exception as error:
        if place.first:
            show([report], {"all-reduce": all_reduce.failed(error)})
        else:
            time.sleep(5)  # a launcher ends all when one has ended
        return 1
    with suppress(ImportError):  # without DALI, which has a line of its own
        report.binding = binding.gather(world, workers=run.feeding.workers)
    reports = _gathered(report, world)
    found = {}
    patience = all_reduce.PATIENCE + (0 if place.first else 10)
    with all_reduce.at_most(patience, end=lambda finding: show(reports, {"all-reduce": finding})):
        found["all-reduce"] = looked(partial(_add_up, run, world, reports))
    if not quick and run.data is not None and all(each.indexed for each in reports if each.machine):
        found["reading"] = looked(partial(_read, run, world))
    code = show(reports, found)
    world.wait()
    return code


def _judge_batch(run: Run, place: Place) -> Finding:
    try:
        return Finding("ok", str(make_plan(run, nodes=place.nodes, ranks=place.world_size)))
    except ValueError as error:
        return Finding("error", str(error))


def _gathered(report: Report, world: World) -> list[Report]:
    """Returns the reports of all processes, on each of them."""
    import torch.distributed as dist

    reports = [report] * world.place.world_size
    dist.all_gather_object(reports, report, group=world.host_group)
    if len({each.host for each in reports}) > 1:
        seen = disk.seen_by_all(world, reports[0].folder)
        for each, sees in zip(reports, seen, strict=True):
            if each.machine is not None:
                each.machine = machines.seeing(each.machine, folder=sees)
    return reports


def _add_up(run: Run, world: World, reports: Sequence[Report]) -> Finding:
    from launch.recipe import v100_rate

    if world.place.world_size == 1:
        return all_reduce.alone(gpus=len(reports[0].machine.gpus) if reports[0].machine else 0)
    if len({each.device for each in reports}) > 1:
        return Finding("error", "some processes have a GPU and others none: they cannot train together")
    if any(each.found["GPU"].level == "error" for each in reports):
        return Finding("warning", "not measured: first mend what the line of the GPU says")
    rate = v100_rate(run)
    step = None if rate is None else run.batch / world.place.world_size / rate
    try:
        return all_reduce.judge(all_reduce.measure(world, gradients=reports[0].gradients, step=step))
    except RuntimeError as error:
        return all_reduce.failed(error)


def _read(run: Run, world: World) -> Finding:
    """Times the images of all processes at the same time, as a training would read them."""
    import torch.distributed as dist

    from launch.measuring import FAR, measure_rates
    from launch.recipe import v100_rate
    from pipeline.index import open_splits
    from pipeline.loader import Share, train_batches

    place = world.place
    assert run.data is not None
    train, _ = open_splits(run.data.expanduser(), say=lambda line: None)
    micro_batch = run.micro_batch or max(run.batch // place.world_size, 2)
    share = Share(
        batch=micro_batch * place.world_size,
        micro_batch=micro_batch,
        rank=place.rank,
        world_size=place.world_size,
    )
    stream = partial(
        train_batches,
        train,
        augmentation=run.augmentation,
        feeding=run.feeding,
        seed=run.seed,
        share=share,
        device=world.device,
        image_size=lambda step: run.augmentation.image_size,
        to_step=FAR,
        processes=world.sharing,
    )
    world.wait()
    try:
        own, fault = measure_rates({"": lambda step: stream(from_step=step)}, seconds=_SECONDS)[""], None
    except Exception as error:  # the others wait for this rank's word
        own, fault = 0.0, gist(error)
    everybody = [(own, fault)] * place.world_size
    dist.all_gather_object(everybody, (own, fault), group=world.host_group)
    rates, faults = zip(*everybody, strict=True)
    wanted = v100_rate(run) if world.device.type == "cuda" else None
    return reading.judge(reading.Reading(rates=rates, faults=tuple(filter(None, faults)), wanted=wanted))


def _rows(reports: Sequence[Report], found: Mapping[str, Finding]) -> list[table.Row]:
    """Returns the table's rows, in its order."""
    about = {each.host: each.machine for each in reports if each.machine is not None}
    rows = [table.Row("machine", each) for each in machines.judge(about, processes=len(reports))]
    for check in table.ORDER[1:]:
        if check in found:
            rows.append(table.Row(check, found[check]))
        elif check == "binding":
            bound = {host: [r.binding for r in reports if r.host == host and r.binding] for host in about}
            judged = [(host, binding.judge(each)) for host, each in bound.items() if each]
            rows += table.rows_of(check, judged)
        else:
            pairs = [(each.host, each.found[check]) for each in reports if check in each.found]
            rows += table.rows_of(check, pairs)
    return rows
