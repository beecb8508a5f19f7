"""What signals do to a run."""

import signal
import subprocess
import sys

import pytest

from tests.launch.program import REPOSITORY

PREAMBLE = f"""
import ctypes, os, signal, sys, time
sys.path.insert(0, {str(REPOSITORY)!r})
from launch.engine import preemption
preemption.SAME_REQUEST = preemption._PATIENCE = 0.3
stop = preemption.StopRequest(end=lambda: print("ended", flush=True))
stop.listen()
def send(names):
    for name in names.split():
        os.kill(os.getpid(), getattr(signal, name))
"""


def ended(code: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code, *arguments], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout.strip().replace("\n", " ")


DEFERRED = """
stop.defer()
send(sys.argv[1])
time.sleep(float(sys.argv[2]))
send(sys.argv[3])
time.sleep(0.2)
print("saved" if stop.asked else "never asked", flush=True)
"""


@pytest.mark.parametrize(
    "signals", ["SIGTERM", "SIGTERM SIGTERM SIGUSR1", "SIGUSR2 SIGUSR1", "SIGINT SIGINT"]
)
def test_one_request_in_several_copies_still_lets_the_run_save(signals: str) -> None:
    assert ended(DEFERRED, signals, "0.05", signals) == (0, "saved")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_later_request_ends_at_once(number: signal.Signals) -> None:
    assert ended(DEFERRED, "SIGUSR1 SIGTERM", "0.4", number.name) == (128 + number, "ended")


def test_a_checkpoint_that_is_being_written_is_finished_first() -> None:
    code = """
stop.defer()
send("SIGTERM")
time.sleep(0.4)
with stop.hold():
    send("SIGTERM")
    time.sleep(0.4)
    print("whole", flush=True)
time.sleep(5)
"""
    assert ended(code) == (128 + signal.SIGTERM, "whole ended")


def test_no_signal_is_no_request() -> None:
    assert ended(DEFERRED, "", "0", "") == (0, "never asked")


def test_with_nothing_to_save_a_signal_interrupts_once() -> None:
    code = """
try:
    send("SIGUSR1 SIGTERM")
    print("not reached")
except KeyboardInterrupt:
    time.sleep(0.1)
    send("SIGTERM")
    print("interrupted")
"""
    assert ended(code) == (0, "interrupted")


def test_with_nothing_to_save_foreign_code_is_not_waited_for() -> None:
    """The main thread waits for a lock that no signal takes it from, as in a collective."""
    code = """
lock = ctypes.create_string_buffer(64)
ctypes.CDLL(None).pthread_mutex_lock(lock)
import threading
threading.Timer(0.1, send, args=("SIGTERM",)).start()
ctypes.CDLL(None).pthread_mutex_lock(lock)
"""
    assert ended(code) == (128 + signal.SIGTERM, "ended")


def test_the_user_is_told() -> None:
    code = """
stop.defer(lambda line: print(line, flush=True))
send("SIGINT SIGINT")
time.sleep(0.2)
"""
    code_, said = ended(code)
    assert code_ == 0 and said.count("SIGINT: the run saves and stops at its next line of metrics;") == 1
