"""Whether each process of a machine has CPUs of its own, near its GPU, and enough of them for its threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launch.checks.finding import Finding

if TYPE_CHECKING:
    from launch.engine.distributed import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Binding:
    """One process's CPUs and threads."""

    local_rank: int
    cpus: frozenset[int]
    """That it may run on, as may the threads it starts, DALI's among them."""
    near: frozenset[int] | None
    """Those of its GPU's NUMA node; None without a GPU, and where the kernel does not tell."""
    limit: int | None
    """CPUs' worth of time that the control groups grant."""
    torch_threads: int
    decoding_threads: int


def gather(world: World, *, workers: int) -> Binding:
    """Looks at this process, after it has joined the others, which binds it."""
    import torch

    from launch.engine.binding import cpu_limit, own_cpus
    from launch.engine.distributed import near_cpus
    from pipeline import graph

    return Binding(
        local_rank=world.place.local_rank,
        cpus=own_cpus(),
        near=near_cpus(world.device),
        limit=cpu_limit(),
        torch_threads=torch.get_num_threads(),
        decoding_threads=graph.threads(workers, device=world.device, processes=world.sharing),
    )


def judge(machine: Sequence[Binding]) -> Finding:
    """Returns what is to be said of one machine's processes."""
    count = len(machine)
    union = frozenset().union(*(each.cpus for each in machine))
    limit = min((each.limit for each in machine if each.limit is not None), default=len(union))
    cpus = min(len(union), limit)
    threads = Counter((each.torch_threads, each.decoding_threads) for each in machine)
    torch_threads, decoding = threads.most_common(1)[0][0]
    told = (
        f"{count} process{'es' * (count > 1)}, {cpus} CPU{'s' * (cpus > 1)}; {torch_threads} of torch's and "
        f"{decoding} of DALI's threads each"
    )
    if len(union) < count:
        return Finding(
            "warning",
            f"{told}: the processes share CPU {as_list(union)}; ask for more",
            "sbatch --cpus-per-gpu=5, or srun --cpus-per-task=N --cpu-bind=none",
        )
    if far := [each for each in machine if each.near is not None and not each.near & each.cpus]:
        one = far[0]
        assert one.near is not None
        return Finding(
            "warning",
            f"{told}; process {one.local_rank} may run on CPUs {as_list(one.cpus)}, all far from its GPU, "
            f"which is near {as_list(one.near)}" + (f"; so {len(far)} processes" if len(far) > 1 else ""),
            "srun --cpu-bind=none, or --gpu-bind=closest",
        )
    # one of a process's threads mostly waits for the others
    running = sum(each.torch_threads + each.decoding_threads - 1 for each in machine)
    if running > max(cpus, count):
        each = max(1, cpus // count)
        return Finding(
            "warning",
            f"{told}: {running} threads that compute, more than CPUs",
            f"OMP_NUM_THREADS={1 if count > 1 else each}, and --workers {each}",
        )
    return Finding("ok", told + _nearness(machine))


def as_list(cpus: frozenset[int]) -> str:
    """Returns CPUs as the kernel writes them: 0-19,40-59."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _nearness(machine: Sequence[Binding]) -> str:
    """Returns how the CPUs lie to the GPUs, where the kernel tells."""
    known = [each for each in machine if each.near is not None]
    if not known:
        return ""
    bound = sum(each.cpus <= each.near for each in known if each.near is not None)
    if bound == len(known):
        return "; all CPUs near the process's GPU"
    return f"; {len(known) - bound} of them may also run on CPUs far from their GPU"
