"""Submits trainings to Slurm, or starts them on this machine, through submitit.

python launch/submit.py rexnet_2.0 --nodes 4 --partition gpu -- --data /data/imagenet
python launch/submit.py --array 1.0,1.3,1.5 --seeds 0,1 -- --data /data/imagenet    # six runs, one array
python launch/submit.py rexnet_1.0 --cluster local -- --data /data/imagenet         # no Slurm
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.job_request import read_job_request


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        asked = read_job_request(argv)
        if asked is None:
            return 0
        from launch.submitting import submit

        submit(*asked)
        return 0
    except (ValueError, OSError) as error:
        refused = isinstance(error, OSError) and error.filename and f"{error.filename}: {error.strerror}"
        print(f"submit.py: {refused or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("submit.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
