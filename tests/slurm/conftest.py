"""A Slurm cluster for the tests of this folder, and checkouts to submit from."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, why_not

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with 8 pretended GPUs each."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own for a test that loses a node of three for good."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm") / "cluster", nodes=3) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What a user sets before sbatch: this Python's environment, one process per node, few threads.

    Without the doctor, who takes some seconds per job; tests of his set DOCTOR anew.
    """
    return {"ENV": sys.prefix, "PROCESSES": "1", "OMP_NUM_THREADS": "1", "DOCTOR": "no"}


def copied(folder: Path) -> Path:
    for name in ("slurm", "launch", "pipeline", "rexnet"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose trainer is the stand-in. A blank in its path shows where quotes are missing."""
    folder = copied(tmp_path / "my checkout")
    shutil.copy(Path(__file__).with_name("stand_in.py"), folder / "launch" / "train.py")
    return folder


@pytest.fixture
def real_checkout(tmp_path: Path) -> Path:
    """A checkout with the real trainer."""
    return copied(tmp_path / "checkout")
