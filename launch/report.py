"""Makes one self-contained page about runs, and publishes results.

python launch/report.py runs/demo-0123abcd             # its report.html
python launch/report.py runs/A runs/B --out both.html  # several overlay
python launch/report.py runs/demo-0123abcd --publish   # and its row in results/
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

import tyro

from launch.arguments import UsageError, read_arguments
from launch.publishing import RESULTS, publish
from launch.reporting.page import write_page


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One self-contained page about a run, or about several that overlay."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]
    """The runs' folders."""

    out: Path | None = None
    """Where the page goes. Default: report.html in the run's folder, comparison.html here for several."""

    publish: bool = False
    """Also write each run's row into results/; only of finished runs, from a clean checkout."""

    link: str | None = None
    """The https address of the published weights, for the row."""

    results: Path = RESULTS
    """Folder of the rows."""


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        asked = read_arguments(Report, argv, program="launch/report.py")
        if asked is None:
            return 0
        if not asked.runs:
            raise UsageError("name at least one run's folder, as runs/demo-0123abcd")
        if asked.link and (not asked.publish or len(asked.runs) > 1):
            raise UsageError("--link goes with --publish and one run")
        rows = [publish(run, results=asked.results, link=asked.link) for run in asked.runs if asked.publish]
        out = asked.out or (Path("comparison.html") if len(asked.runs) > 1 else None)
        print(*rows, write_page(*asked.runs, out=out), sep="\n")
        if rows:
            print("README.md's tables follow with: python -m tests.figures")
    except (ValueError, OSError) as error:
        refused = isinstance(error, OSError) and error.filename and f"{error.filename}: {error.strerror}"
        print(f"report.py: {refused or error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
