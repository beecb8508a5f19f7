"""For batch scripts: notes that an attempt of a job begins or has ended, and prints what follows.

`conclude.py FOLDER JOB begin ATTEMPT NODES` and `conclude.py FOLDER JOB end STATUS [SIGN ...]`, both with
what `scontrol -o show node` says on standard input. Prints a line each: the action (go, requeue or end), the
job's exit code, nodes to avoid, the reason, how the last attempt ended, and what brings its W&B run to the
server.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.history import SIGNS, History, Sign, sync_command


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    history, what, rest = History(Path(argv[0]), argv[1]), argv[2], argv[3:]
    if what == "begin":
        decision = history.begin(int(rest[0]), nodes=rest[1].split(","), known=sys.stdin.read())
    else:
        signs: list[Sign] = [sign for sign in SIGNS if sign in rest[1:]]
        decision = history.end(status=int(rest[0]), signs=signs, known=sys.stdin.read())
    last = history.endings[-1]
    decided = (decision.action, decision.code, ",".join(decision.avoid), decision.reason)
    print(*decided, last, sync_command(last), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
