"""What a trial may do to its process. Imports nothing slow: each is imported by a new process."""

import os
import signal
import time


def succeed() -> None:
    """As a decoder that works."""


def fail() -> None:
    raise RuntimeError("nvImageCodec failure: '#8'\nand a trace over many lines")


def fail_as_dali_does() -> None:
    """Its errors name the operator and where it was defined before they say what was wrong."""
    raise RuntimeError(
        "Critical error in pipeline:\nError in MIXED operator `nvidia.dali.fn.decoders.image`,\n\nwhich was "
        "used in the pipeline definition with the following traceback:\n\n  File a.py\n\nencountered:\n\n"
        "[/opt/decoder.h:7] Failed to decode sample #3\n\n"
    )


def fail_silently() -> None:
    raise RuntimeError


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(7)


def hang() -> None:
    """Ignores what can be ignored, as native code does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)
