"""What the tests need of the machine. Where it is missing, the test skips and says why.

REXNET_REQUIRE="slurm browser" turns such skips into failures, for a machine that should have both.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: the workers are the parallelism
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _no_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA GPU here"


def _no_slurm() -> str | None:
    from tests.cluster.cluster import why_not

    return why_not()


def _no_browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return None if any(map(shutil.which, names)) else f"none of {', '.join(names)} is on the PATH"


_NEEDS: dict[str, Callable[[], str | None]] = {
    "gpu": cache(_no_gpu),
    "slurm": cache(_no_slurm),
    "browser": cache(_no_browser),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps a file's tests, and all that want the Slurm cluster, in one process of pytest-xdist."""
    for item in items:
        group = "slurm" if item.get_closest_marker("slurm") else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Takes back what a test does to signals: what later tests start would inherit those that are ignored."""
    before = [signal.getsignal(number) for number in _SIGNALS]
    yield
    for number, handler in zip(_SIGNALS, before, strict=True):
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _NEEDS.items():
        if item.get_closest_marker(marker) is None:
            continue
        reason = missing()
        if reason and marker in os.environ.get("REXNET_REQUIRE", "").split():
            pytest.fail(f"REXNET_REQUIRE asks for {marker}, but: {reason}", pytrace=False)
        if reason:
            pytest.skip(reason)
