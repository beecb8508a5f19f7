"""Names what images show: the likeliest classes of each.

python launch/predict.py a.jpg photos/ --weights runs/demo-0123abcd    # files, folders and all in them
python launch/predict.py photos/ --weights w.safetensors --top 3 --json
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import read_arguments
from launch.exhaustion import naming_the_eval_batch
from launch.predict_request import PredictRequest
from launch.spinning import spin_briefly


def main(argv: list[str]) -> int:
    """Returns the exit code: 0, 1 where a file has no answer, 2 for a mistake of the user."""
    spin_briefly()
    try:
        request = read_arguments(PredictRequest, argv, program="launch/predict.py")
        if request is None:
            return 0
        from launch.prediction import predict

        with naming_the_eval_batch(request.eval_batch):
            return 1 if predict(request) else 0
    except (ValueError, OSError) as error:
        refused = isinstance(error, OSError) and error.filename and f"{error.filename}: {error.strerror}"
        print(f"predict.py: {refused or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
