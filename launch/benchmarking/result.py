"""A benchmark's result as a table and a file."""

from __future__ import annotations

from pathlib import Path

from launch.benchmarking.asked import Asked
from launch.facts import installed_versions, processor
from launch.folder import write_json
from launch.timing.machine import describe_machine, machine_line
from launch.timing.rounds import Measured, plain, table


def report(mode: str, asked: Asked, measured: Measured, *, threads: int) -> str:
    """Writes the figures as JSON and returns them as a table with the machine below it."""
    machine = describe_machine(installed_versions(), processor=processor())
    run = asked.run
    what = {
        "mode": mode,
        "recipe": run.recipe,
        "image_size": run.augmentation.image_size,
        "batch": run.batch,
        "micro_batch": run.micro_batch,
        "threads": threads,
        "rounds": asked.rounds,
    }
    place = asked.json or Path("runs") / f"benchmark-{mode}-{run.recipe}.json"
    write_json(place, {**what, "measured": plain(measured), "machine": machine})
    shape = (
        f"{run.recipe}, {run.augmentation.image_size} pixels, batch {run.batch}, micro-batch "
        f"{run.micro_batch}, {threads} threads; medians of {asked.rounds} rounds, in brackets least and most"
    )
    return f"{table(measured)}\n\n{shape}\n{machine_line(machine)}\n{place}"
