"""How a run's batch is laid over the ranks of a world. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from launch.config import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """nodes x ranks per node x micro_batch x accumulation = batch."""

    nodes: int
    ranks: int
    batch: int
    micro_batch: int
    accumulation: int

    def __str__(self) -> str:
        per_node = self.ranks // self.nodes
        return (
            f"{self.nodes} node{'s' * (self.nodes > 1)} x {per_node} process{'es' * (per_node > 1)} x "
            f"{self.micro_batch} images x {self.accumulation} accumulated = batch {self.batch}"
        )


def make_plan(run: Run, *, nodes: int, ranks: int) -> Plan:
    """Lays the batch over `ranks` processes on `nodes` machines.

    Raises:
        ValueError: the batch is not a whole number of micro-batches, or these do not divide among the ranks;
            the message names the sizes that do.
    """
    if run.micro_batch is None:
        if run.batch % ranks:
            near = max(run.batch // ranks, 2) * ranks
            raise ValueError(
                f"batch {run.batch} does not divide among {ranks} processes; take --batch {near} or "
                f"--batch {near + ranks}"
            )
        return Plan(nodes=nodes, ranks=ranks, batch=run.batch, micro_batch=run.batch // ranks, accumulation=1)
    if run.batch % run.micro_batch:
        fitting = [
            size
            for size in range(2, run.batch + 1)
            if run.batch % size == 0 and run.batch // size % ranks == 0
        ]
        hint = (
            f"take --micro-batch {_some(fitting, near=run.micro_batch)}"
            if fitting
            else f"take --batch {ranks * run.micro_batch}"
        )
        raise ValueError(
            f"batch {run.batch} is no whole number of micro-batches of {run.micro_batch}; {hint}"
        )
    count = run.batch // run.micro_batch
    if count % ranks:
        worlds = [n for n in range(1, count + 1) if count % n == 0]
        sizes = [run.batch // m for m in range(ranks, run.batch // 2 + 1, ranks) if run.batch % m == 0]
        smaller = f", or --micro-batch {_some(sizes, near=run.micro_batch)}" if sizes else ""
        raise ValueError(
            f"batch {run.batch} is {count} micro-batches of {run.micro_batch}, which do not divide among "
            f"{ranks} processes; processes that fit: {', '.join(map(str, worlds))}; for {ranks} take "
            f"--batch {max(count // ranks, 1) * ranks * run.micro_batch}{smaller}"
        )
    return Plan(
        nodes=nodes, ranks=ranks, batch=run.batch, micro_batch=run.micro_batch, accumulation=count // ranks
    )


def _some(sizes: list[int], *, near: int) -> str:
    closest = sorted(sorted(sizes, key=lambda size: abs(size - near))[:3])
    return " or ".join(map(str, closest))
