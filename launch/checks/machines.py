"""What must be the same on all machines of a job, and what had better be."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace

from launch.checks.decoding import CODEC, DALI, version_of
from launch.checks.finding import Finding
from launch.checks.gpus import Gpus
from pipeline.walk import enumeration


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One machine of a job."""

    python: str
    torch: str | None
    dali: str | None
    codec: str | None
    system: str
    driver: str | None
    gpus: tuple[str, ...]
    """Names, in the order of torch."""
    cpus: int
    """That the job may use."""
    data: str | None
    """Identities of the data set's indexes; None where there are none, which is another line's."""
    sees_folder: bool = True
    """Whether it sees in the run's folder what rank 0 has written there."""


SAME = {"torch": "torch", "dali": "DALI", "data": "data set"}
"""Fields without which machines do not compute one run."""

ALIKE = {
    "python": "Python",
    "codec": "nvImageCodec",
    "driver": "driver",
    "gpus": "GPUs",
    "cpus": "CPUs",
}
"""Fields whose difference costs speed or bits."""


def gather(*, gpus: Gpus | None, cpus: int, data: str | None) -> Machine:
    """Describes this machine; `gpus` is None where torch cannot use them."""
    return Machine(
        python=platform.python_version(),
        torch=version_of("torch") if gpus is None else gpus.torch,
        dali=version_of(DALI),
        codec=version_of(CODEC),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        driver=None if gpus is None else gpus.driver,
        gpus=() if gpus is None else tuple(gpu.name for gpu in gpus.visible),
        cpus=cpus,
        data=data,
    )


def seeing(machine: Machine, *, folder: bool) -> Machine:
    """Returns the machine with whether it sees what rank 0 has written into the run's folder."""
    return replace(machine, sees_folder=folder)


def judge(machines: Mapping[str, Machine], *, processes: int) -> list[Finding]:
    """Returns what is to be said of a job's machines, by their names."""
    names = list(machines)
    first = machines[names[0]]
    if len(names) == 1:
        return [Finding("ok", f"{names[0]}, {first.system}, Python {first.python}, {_many(processes)}")]
    found = []
    for fields, level in ((SAME, "error"), (ALIKE, "warning")):
        for field, called in fields.items():
            values: dict[object, list[str]] = {}
            for name, machine in machines.items():
                values.setdefault(getattr(machine, field), []).append(name)
            if field == "data":
                values.pop(None, None)
            if len(values) > 1:
                told = "; ".join(
                    f"{_shown(value)} on {enumeration(where)}" for value, where in values.items()
                )
                found.append(Finding(level, f"not the same {called}: {told}"))  # type: ignore[arg-type]
    if blind := [name for name, machine in machines.items() if not machine.sees_folder]:
        found.append(
            Finding(
                "warning",
                f"{enumeration(blind)} cannot see in the run's folder what {names[0]} has written there; "
                "only a folder that all machines share lets a stopped run go on",
                "--out DIR",
            )
        )
    if not found:
        alike = (
            f"{len(names)} machines ({enumeration(names)}), alike: Python {first.python}, {_many(processes)}"
        )
        found.append(Finding("ok", alike))
    return found


def _many(processes: int) -> str:
    return f"{processes} process{'es' * (processes > 1)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} ({', '.join(dict.fromkeys(map(str, value)))})" if value else "none"
    return str(value) if value is not None else "none"
