"""launch/benchmark.py MODE RECIPE [FLAGS]: the speed of this machine, part by part, and of V100s on paper.

python launch/benchmark.py input RECIPE --data DIR    # the input alone: each augmentation, folder and packed
python launch/benchmark.py model RECIPE               # the step alone: each layout and precision, its parts
python launch/benchmark.py train RECIPE --data DIR    # both together; beside timm with --against
python launch/benchmark.py scale RECIPE --data DIR    # both together, by 1 to --processes processes
python launch/benchmark.py startup RECIPE --data DIR  # from torchrun to the first step
python launch/benchmark.py plan RECIPE --gpus 32 --wall-time 24h    # what a run takes on V100s, on paper
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import UsageError, read_arguments
from launch.attempt import Attempt, carry_out
from launch.benchmarking.asked import Asked, OnPaper
from launch.cli import take_run
from launch.spinning import spin_briefly

_MODES = ("input", "model", "train", "scale", "startup", "plan")


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    return carry_out(lambda attempt: work(argv, attempt), attempt=Attempt(silent=True, barred=True))


def work(argv: list[str], attempt: Attempt) -> None:
    """Does what the arguments ask for."""
    if argv[:1] in (["-h"], ["--help"]):
        print(f"usage: {__doc__}")
        return
    if not argv or argv[0] not in _MODES:
        raise UsageError(f"what to do comes first: launch/benchmark.py {' | '.join(_MODES)} RECIPE ...")
    mode, flags = argv[0], argv[1:]
    run, program = take_run(flags), f"launch/benchmark.py {mode}"
    if mode == "plan":
        if wanted := read_arguments(OnPaper, flags, program=program, default=OnPaper(run=run)):
            from launch.benchmarking.on_paper import plan_on_paper

            print(plan_on_paper(wanted))
    elif asked := read_arguments(Asked, flags, program=program, default=Asked(run=run)):
        if asked.against is None:  # timm's program would inherit it
            spin_briefly()
        from launch.benchmarking.modes import measure

        measure(mode, asked, attempt)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if "torch" in sys.modules:
        from launch.engine.distributed import leave

        leave(code)
    sys.exit(code)
