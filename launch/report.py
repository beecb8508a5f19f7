"""Makes report.html, one self-contained page, from a run's folder.

python launch/report.py runs/demo-0123abcd
"""

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

import tyro

from launch.reporting.page import write_page


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One self-contained page about a run: result, curves, facts."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""


def main(asked: Report) -> None:
    print(write_page(asked.run))


if __name__ == "__main__":
    try:
        main(tyro.cli(Report))
    except (ValueError, FileNotFoundError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        sys.exit(2)
