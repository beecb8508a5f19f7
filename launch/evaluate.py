"""Evaluates weights: `torchrun launch/evaluate.py VARIANT --weights FILE --data DIR [--expect ACC1]`."""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import out_of, read_arguments
from launch.attempt import Attempt, carry_out
from launch.exhaustion import naming_the_eval_batch
from launch.request import Request, own_folder
from launch.spinning import spin_briefly


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    spin_briefly()
    attempt = Attempt(folder=own_folder(out_of(argv)))
    return carry_out(lambda attempt: work(argv, attempt), attempt=attempt)


def work(argv: list[str], attempt: Attempt) -> None:
    """Does what the arguments ask for."""
    request = read_arguments(Request, argv, program="launch/evaluate.py")
    if request is None:
        attempt.silent = True
    else:
        from launch.evaluation import evaluate_weights

        with naming_the_eval_batch(request.eval_batch):
            evaluate_weights(request, attempt)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if "torch" in sys.modules:
        from launch.engine.distributed import leave

        leave(code)
    sys.exit(code)
