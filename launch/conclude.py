"""For batch scripts: notes that an attempt of a job begins or has ended, and prints what follows.

`conclude.py FOLDER JOB begin ATTEMPT NODES` and `conclude.py FOLDER JOB end STATUS [SIGN ...]`, both with
what `scontrol -o show node` says on standard input. Prints a line each: the action (go, requeue or end), the
job's exit code, nodes to avoid, the reason, how the last attempt ended, and what brings its W&B run to the
server.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.history import SIGNS, History, upload_command


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="launch/conclude.py", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the job's attempts are remembered")
    parser.add_argument("job", help="its name there")
    actions = parser.add_subparsers(dest="action", required=True)
    begin, end = actions.add_parser("begin"), actions.add_parser("end")
    begin.add_argument("attempt", type=int, help="Slurm's count of restarts")
    begin.add_argument("nodes", type=lambda text: text.split(","), help="names, with commas between")
    end.add_argument("status", type=int, help="exit code of what started the trainer")
    end.add_argument("signs", nargs="*", help=f"what else is known: {', '.join(SIGNS)}")
    asked, known = parser.parse_args(argv), sys.stdin.read()
    history = History(asked.folder, asked.job)
    if asked.action == "begin":
        decision = history.begin(asked.attempt, nodes=asked.nodes, known=known)
    else:
        decision = history.end(status=asked.status, signs=asked.signs, known=known)
    last = history.endings[-1]
    decided = (decision.action, decision.code, ",".join(decision.avoid), decision.reason)
    print(*decided, last, upload_command(last), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
