"""Makes one self-contained page about runs: `python launch/report.py RUN...`; several overlay."""

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
    """One self-contained page about a run, or about several that overlay."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The runs' folders."""

    out: Path | None = None
    """Where the page goes: RUN/report.html of one run, comparison.html of several."""


def main(asked: Report) -> None:
    out = asked.out or (Path("comparison.html") if len(asked.runs) > 1 else None)
    print(write_page(*asked.runs, out=out))


if __name__ == "__main__":
    try:
        main(tyro.cli(Report))
    except (ValueError, FileNotFoundError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        sys.exit(2)
