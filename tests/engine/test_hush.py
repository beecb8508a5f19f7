"""Standard output has what a program says, and not what libraries print while it connects."""

import os
from pathlib import Path

import pytest

from launch.engine.hush import hushed


def test_what_is_written_inside_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before, ")
    with hushed():
        os.write(1, b"[Gloo] Rank 0 is connected to 1 peer ranks.")
        os.write(2, b"an error")
    os.write(1, b"after")
    told = capfd.readouterr()
    assert (told.out, told.err) == ("before, after", "an error")


def test_an_error_gives_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    files = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(RuntimeError, match="no peer"), hushed():
        raise RuntimeError("no peer")
    os.write(1, b"after")
    assert capfd.readouterr().out == "after" and len([*Path("/proc/self/fd").iterdir()]) == files


def test_without_standard_output_nothing_happens(capfd: pytest.CaptureFixture[str]) -> None:
    kept = os.dup(1)
    os.close(1)
    try:
        with hushed():
            pass
        with pytest.raises(OSError):
            os.fstat(1)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
