"""Trying something in a process of its own, because it may crash or hang."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

PATIENCE = 120.0
"""Seconds that a trial may take, most of them for imports from a slow file system."""

_LONGEST = 200  # letters that are told of an error


def find_fault(trial: Callable[[], None], *, patience: float = PATIENCE) -> str | None:
    """What happens to a new process that carries out `trial`; None where it goes well.

    The process is started afresh, not forked, and has a CUDA of its own. It has ended when this returns.

    Args:
        trial: raises where it fails; imported there by its name.
        patience: seconds.
    """
    spawn = multiprocessing.get_context("spawn")
    receiving, sending = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_carry_out, args=(trial, sending, patience), daemon=True)
    child.start()
    try:
        sending.close()
        child.join(patience)
        if child.exitcode is None or child.exitcode == -signal.SIGALRM:
            return f"has not ended after {patience:g} s"
        if child.exitcode < 0:
            return f"ends by {signal.Signals(-child.exitcode).name}"
        return receiving.recv() if child.exitcode == 0 else f"ends with exit code {child.exitcode}"
    finally:
        child.kill()
        child.join(5)
        receiving.close()


def _carry_out(trial: Callable[[], None], sending: Connection, patience: float) -> None:
    """Tells how the trial went. An alarm ends it where nobody is left to do so, even in native code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and kills
    signal.alarm(1 + int(patience))
    try:
        trial()
    except Exception as error:
        sending.send(f"fails: {_gist(str(error)) or type(error).__name__}")
    else:
        sending.send(None)
    os._exit(0)  # what goes wrong in the interpreter's shutdown is no fault of the trial


def _gist(message: str) -> str:
    """The first line of an error, or what DALI says once it has told in which operator that came up."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = "encountered:"
    if told in lines[:-1]:
        lines = [" ".join(lines[lines.index(told) + 1 :])]
    return lines[0][:_LONGEST] if lines else ""
