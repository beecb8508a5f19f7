"""For slurm/node.sh: copies a run's packed data to this node's own disk and prints where it lies.

`stage.py DISK [arguments of launch/train.py]`. Prints nothing where the data stays where it is; one line of
warning then says why.
"""

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
    data = value_of("--data", argv[1:])
    try:
        if data is None:
            raise NotStaged(f"nothing is copied to {argv[0]}: the command names no --data")
        print(stage(Path(data), Path(argv[0]), say=_say))
    except NotStaged as why:
        _say(f"warning: {why}")
    return 0


def _say(line: str) -> None:
    print(f"STAGE on {socket.gethostname()}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
