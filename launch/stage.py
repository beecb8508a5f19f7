"""For slurm/node.sh: copies a run's packed data to this node's own disk and prints where it lies.

`stage.py DISK -- [arguments of launch/train.py]`. Prints nothing where the data stays where it is; one line
of warning then says why.
"""

import argparse
import socket
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import value_of
from pipeline.staging import NotStaged, stage


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="launch/stage.py", description=__doc__)
    parser.add_argument("disk", type=Path, help="a folder on this machine's own disk")
    parser.add_argument("run", nargs="*", help="arguments of launch/train.py")
    asked = parser.parse_args(argv)
    data = value_of("--data", asked.run)
    try:
        if data is None:
            raise NotStaged(f"nothing is copied to {asked.disk}: the command names no --data")
        print(stage(Path(data), asked.disk, say=_say))
    except NotStaged as why:
        _say(f"warning: {why}")
    return 0


def _say(line: str) -> None:
    print(f"STAGE on {socket.gethostname()}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
