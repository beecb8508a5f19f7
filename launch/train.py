"""Trains ReXNet: `torchrun launch/train.py [RECIPE] [--data DIR] ...`; without a recipe, the demo."""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import out_of
from launch.attempt import Attempt, carry_out
from launch.cli import Command, read_command
from launch.exhaustion import naming_the_micro_batch
from launch.spinning import spin_briefly


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    spin_briefly()
    attempt = Attempt(folder=out_of(argv))
    return carry_out(lambda attempt: work(argv, attempt), attempt=attempt)


def work(argv: list[str], attempt: Attempt) -> None:
    """Does what the arguments ask for."""
    command = read_command(argv)
    if command is None:
        attempt.silent = True
    elif command.dry_run:
        from launch.estimate import dry_run

        attempt.silent = True
        dry_run(command.run)
    else:
        with naming_the_micro_batch(command.run):
            train(command, attempt)


def train(command: Command, attempt: Attempt) -> None:
    """Trains, to the end or a few steps."""
    if command.smoke:
        from launch.smoke import smoke

        smoke(command.run, attempt)
    elif command.profile:
        from launch.profiling import profile

        profile(command.run, attempt, steps=command.profile)
    else:
        from launch.training import train

        train(command, attempt)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if "torch" in sys.modules:
        from launch.engine.distributed import leave

        leave(code)
    sys.exit(code)
