"""Draws a page of augmented training images: the original beside what several epochs make of it.

python launch/preview.py DIR --recipe rexnet_2.0 --out page.png
python launch/preview.py DIR --rand-ops 2 --erasing 0.2 --cutmix 1    # changes of the recipe
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.showing import read_request


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        request = read_request(argv)
        if request is None:
            return 0
        from launch.previewing import draw_preview

        print(draw_preview(request))
    except (ValueError, OSError) as error:
        refused = isinstance(error, OSError) and error.filename and f"{error.filename}: {error.strerror}"
        print(f"preview.py: {refused or error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
