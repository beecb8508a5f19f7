"""Hands weights on: a folder with the formats of other programs, checksums and a model card.

python launch/export.py runs/demo-0123abcd --out demo                             # safetensors, pth, timm
python launch/export.py rexnet_1.0.pth --out rexnet_1.0 --formats safetensors onnx --fp16
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

from launch.arguments import read_arguments
from launch.export_request import ExportRequest


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        request = read_arguments(ExportRequest, argv, program="launch/export.py")
        if request is None:
            return 0
        from launch.exporting import export

        export(request)
    except (ValueError, OSError) as error:
        refused = isinstance(error, OSError) and error.filename and f"{error.filename}: {error.strerror}"
        print(f"export.py: {refused or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
