"""Evaluates weights: `torchrun launch/evaluate.py VARIANT --weights FILE --data DIR`."""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.attempt import Attempt, carry_out


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    return carry_out(lambda attempt: work(argv, attempt), attempt=Attempt(silent=True))


def work(argv: list[str], attempt: Attempt) -> None:
    """Does what the arguments ask for."""
    from launch.arguments import read_arguments
    from launch.evaluation import Request, evaluate_weights

    request = read_arguments(Request, argv, program="launch/evaluate.py")
    if request is not None:
        evaluate_weights(request, attempt)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    from launch.engine.distributed import leave

    leave(code)
