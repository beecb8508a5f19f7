"""Indexes a data set, once, so that trainings begin at once.

python launch/index.py DIR             # a folder that holds train/ and val/, or one of them
python launch/index.py DIR --verify    # decodes every image, too
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

import tyro

from launch.arguments import read_arguments

Flag: TypeAlias = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexRequest:
    """Index a data set: read every header once, in parallel; again, only where a folder has changed since.

    Exit code 1: --verify found damaged files; 2: DIR cannot be indexed."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder that holds train/ and val/ with one folder of images per class, or one such split itself."""

    rescan: Flag = False
    """Look at every file: a file that was overwritten in place shows in no folder's time."""

    verify: Flag = False
    """Decode every image and name each damaged file with its fault."""

    decoder: Literal["pillow", "dali"] = "pillow"
    """What decodes for --verify. DALI is what trainings decode with, on the GPU where there is one."""

    beside: Flag = False
    """Write the index into .rexnet beside the split, where everybody who has the data finds it. Without, it
    goes to $REXNET_CACHE or ~/.cache/rexnet."""


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        request = read_arguments(IndexRequest, argv, program="launch/index.py")
        if request is None:
            return 0
        if request.decoder != "pillow" and not request.verify:
            raise ValueError(f"--decoder {request.decoder} has a meaning with --verify only")
        from launch.indexing import index_data

        return index_data(
            request.folder,
            rescan=request.rescan,
            decoder=request.decoder if request.verify else None,
            beside=request.beside,
        )
    except (ValueError, OSError) as error:
        refused = isinstance(error, OSError) and error.filename and f"{error.filename}: {error.strerror}"
        print(f"index.py: {refused or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("index.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
