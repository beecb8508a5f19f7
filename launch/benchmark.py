"""Speed: python launch/benchmark.py plan RECIPE --gpus 32 --wall-time 24h says what a run takes on V100s."""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import UsageError, read_arguments
from launch.cli import take_run

_MODES = ("plan",)


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        if not argv or argv[0] not in _MODES:
            raise UsageError(f"what to do comes first: launch/benchmark.py {' | '.join(_MODES)} ...")
        plan(argv[1:])
    except ValueError as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 2
    return 0


def plan(arguments: list[str]) -> None:
    """Prints what a recipe takes on V100s."""
    from launch.timing.on_paper import OnPaper, plan_on_paper

    run = take_run(arguments)
    asked = read_arguments(OnPaper, arguments, program="launch/benchmark.py plan", default=OnPaper(run=run))
    if asked is not None:
        print(plan_on_paper(asked))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
