"""Packs a data set into a few large tar files, which trainings and WebDataset's tools read.

python launch/pack.py DIR OUT                      # the images as they are
python launch/pack.py DIR OUT --short-side 320     # larger ones made smaller
python launch/pack.py --imagenet ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar \\
    --labels ILSVRC2012_devkit_t12.tar.gz OUT      # ImageNet, straight from its archives
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

import tyro

from launch.arguments import read_arguments


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRequest:
    """Pack a data set into tar files with an index; --data takes OUT as it takes DIR. The same command goes
    on where it was stopped, and checks and mends a finished OUT. Exit code 1: the archives are not all of
    ImageNet; 2: DIR cannot be packed."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """DIR, a folder that holds train/ and val/ or one such split, and OUT, the folder to make. With
    --imagenet, OUT alone."""

    short_side: int | None = None
    """Make images smaller whose shorter side is longer, in pixels. Default: every byte stays as it is."""

    quality: int = 95
    """Of the JPEGs that --short-side makes, 1 to 100."""

    shard_size: int = 500_000_000
    """Bytes of a tar file, about."""

    processes: int = 0
    """How many work at once; 0 is one for each core."""

    imagenet: tuple[Path, Path] | None = None
    """ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, as they were downloaded, in place of DIR."""

    labels: Path | None = None
    """With --imagenet, the classes of its validation images: ILSVRC2012_devkit_t12.tar.gz, or Kaggle's
    LOC_val_solution.csv."""

    unpack: bool = False
    """With --imagenet, make class folders of the archives instead of shards."""


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        request = read_arguments(PackRequest, argv, program="launch/pack.py")
        if request is None:
            return 0
        from launch.packing import pack_data

        return pack_data(**{name: getattr(request, name) for name in request.__slots__})
    except (ValueError, OSError) as error:
        print(f"pack.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pack.py: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code) if code == 130 else sys.exit(code)
