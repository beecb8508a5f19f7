"""The README's pictures are of the run that its table has."""

import re

from tests.launch.program import REPOSITORY
from tests.pictures import PICTURES, terminal


def test_a_terminal_has_the_head_and_the_end_of_a_log() -> None:
    log = "".join(f"line{i}\n" for i in range(100)) + "checkpoint of step 9: written\nthe<last>\n"
    picture = terminal(log, command="torchrun launch/train.py")
    for word in (
        "$&#160;torchrun&#160;launch/train.py",
        "line0",
        "line14",
        "...",
        "line99",
        "the&lt;last&gt;",
    ):
        assert word in picture, word
    assert "line50" not in picture and "checkpoint" not in picture
    assert "url(http" not in picture and "@font-face" not in picture


def test_the_pictures_are_of_the_published_demo() -> None:
    (published,) = (REPOSITORY / "results").glob("demo-*.json")
    text = (PICTURES / "terminal.svg").read_text().replace("&#160;", " ")
    assert f"Run folder: runs/{published.stem}" in text
    assert not re.search(r"sync /|folder +/|report +/", text)
    assert (PICTURES / "report.png").read_bytes().startswith(b"\x89PNG")
    readme = (REPOSITORY / "README.md").read_text()
    assert all(f"docs/pictures/{name}" in readme for name in ("terminal.svg", "report.png"))
