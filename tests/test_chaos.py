"""The chaos test, as anyone can run it."""

import subprocess
import sys

import pytest

from tests.launch.program import REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "processes"),
    [(2, 1), (3, 1), (3, 2), (16, 3)],
)
def test_a_run_that_is_killed_again_and_again_ends_bit_identical(kills: int, processes: int) -> None:
    command = [sys.executable, REPOSITORY / "tests" / "chaos.py", "--kills", kills, "--processes", processes]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1500)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing, to the last bit" in done.stdout and "left behind: none" in done.stdout
