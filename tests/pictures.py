"""The README's pictures, of a real run: python -m tests.pictures RUN, with Chromium installed.

docs/pictures/report.png is the head of its report page, docs/pictures/terminal.svg what its terminal showed.
"""

import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from launch.reporting.page import write_page
from launch.track.terminal import FOR_THE_LOG

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
_LINES = 30  # of the terminal: as many from its start as from its end
_WIDTH = 118  # columns
_SIZE = "1280,1500"  # pixels of the page


def main(run: Path) -> None:
    """Writes both."""
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "terminal.svg").write_text(
        terminal((run / "log.txt").read_text(), command="torchrun launch/train.py")
    )
    draw(write_page(run), PICTURES / "report.png")


def terminal(log: str, *, command: str) -> str:
    """Returns an SVG of a terminal with the head and the end of `log`, less what only the log has, in it."""
    lines = [line for line in log.strip().splitlines() if not line.startswith(FOR_THE_LOG)]
    shown = lines if len(lines) <= _LINES else [*lines[: _LINES // 2], "...", *lines[-_LINES // 2 :]]
    console = Console(record=True, width=_WIDTH, file=StringIO())
    for line in (f"$ {command}", *shown):
        console.print(Text(line, overflow="ellipsis", no_wrap=True))
    picture = re.sub(r"terminal-\d+", "terminal", console.export_svg(title="ReXNet"))
    # Its fonts would be fetched from elsewhere.
    return re.sub(r"@font-face *{.*?}\s*", "", picture, flags=re.DOTALL)


def draw(page: Path, picture: Path) -> None:
    """Has headless Chromium draw the head of a page."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={_SIZE}",
    ]
    subprocess.run(
        [*words, f"--screenshot={picture}", page.resolve().as_uri()], check=True, capture_output=True
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
