"""For batch scripts: notes that an attempt of a job begins or has ended, and prints what follows.

`conclude.py FOLDER JOB begin ATTEMPT NODES`, with `scontrol -o show node` on its standard input, and
`conclude.py FOLDER JOB end STATUS [terminated] [preempted] [warned]`. Prints a line each: the action (go,
requeue or end), the job's exit code, nodes to avoid, the reason, and how the last attempt ended.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.history import History


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    history, what, rest = History(Path(argv[0]), argv[1]), argv[2], argv[3:]
    if what == "begin":
        decision = history.begin(int(rest[0]), nodes=rest[1].split(","), known=sys.stdin.read())
    else:
        signs = {name: name in rest[1:] for name in ("terminated", "preempted", "warned")}
        decision = history.end(status=int(rest[0]), **signs)
    lines = (decision.action, str(decision.code), ",".join(decision.avoid), decision.reason)
    print(*lines, str(history.endings[-1]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
