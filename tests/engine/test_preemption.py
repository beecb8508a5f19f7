"""What signals do to a run."""

import signal
import subprocess
import sys

import pytest

from tests.launch.program import REPOSITORY

CODE = f"""
import os, signal, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from launch.engine.preemption import StopRequest
stop = StopRequest()
stop.listen()
for name in sys.argv[1:]:
    os.kill(os.getpid(), getattr(signal, name))
print("saved" if stop.asked else "never asked", flush=True)
"""


def ended(*signals: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", CODE, *signals], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("signals", [("SIGTERM",), ("SIGTERM", "SIGTERM", "SIGUSR1"), ("SIGUSR1", "SIGUSR1")])
def test_a_request_that_comes_several_times_still_lets_the_run_save(signals: tuple[str, ...]) -> None:
    assert ended(*signals) == (0, "saved")


def test_a_second_ctrl_c_ends_at_once() -> None:
    assert ended("SIGINT") == (0, "saved")
    assert ended("SIGINT", "SIGINT") == (128 + signal.SIGINT, "")


def test_no_signal_is_no_request() -> None:
    assert ended() == (0, "never asked")
