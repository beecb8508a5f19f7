"""Checks a machine, or all machines of a job, before a run: whether it could train, and what to type if not.

python launch/doctor.py                                                            # this machine
torchrun --nproc-per-node=gpu launch/doctor.py rexnet_2.0 --data DIR --quick       # as the run would use it
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

import tyro

from launch.arguments import first_rank, read_arguments
from launch.checks.architecture import INSTALL
from launch.cli import Command, take_run
from launch.track.connection import reachable

Flag: TypeAlias = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """Check whether a run could train here: GPU, driver, decoding, network, data, disk, W&B, CPUs.

    Takes every argument of launch/train.py. Exit code 1 where something would keep the run from training; a
    warning does not."""

    command: Command

    quick: Flag = False
    """Take 10 s at most: index nothing, and time no reading."""

    json: Flag = False
    """Print JSON instead of the table. It holds no environment variables."""


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        arguments = list(argv)
        default = Visit(command=Command(run=take_run(arguments)))
        visit = read_arguments(Visit, arguments, program="launch/doctor.py", default=default)
        if visit is None:
            return 0
        from launch.checkup import examine

        return examine(
            visit.command.run,
            named=len(arguments) < len(argv),
            quick=visit.quick,
            as_json=visit.json,
            reachable=partial(reachable, timeout=3.0),
        )
    except ValueError as error:
        if first_rank():
            print(f"doctor.py: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"doctor.py: {error.name} is missing; see docs/install.md, or type: {INSTALL}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if "torch" in sys.modules:
        from launch.engine.distributed import leave

        leave(code)
    sys.exit(code)
