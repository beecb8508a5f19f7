"""The benchmark beside timm's train.py, which a stand-in plays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.benchmarking.asked import Asked
from launch.benchmarking.peer import FROM, TO, find_peer, peer_ways
from launch.recipes import RECIPES

TRAIN = f"""
import pathlib, sys, time

data = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1])
assert (data / "train").is_dir(), data
pathlib.Path("prefix").write_text(sys.prefix)
for step in {FROM}, {TO}:
    print(f"Train: 0 [{{step:>4d}}/390 (  5%)]  Loss: 6.9", flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, which holds images and a checkout of the peer."""
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "train.py").write_text(TRAIN)
    (tmp_path / "imagenet" / "train").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_are_read_from_where_the_user_stands(here: Path) -> None:
    """The peer runs in its checkout, and in the environment whose Python is named."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], check=True)
    peer = find_peer(checkout=Path("timm"), python=Path("venv/bin/python"))
    shape = {"width": "1.0", "size": 32, "batch": 8, "workers": 0}
    ways = peer_ways(peer, data=Path("imagenet"), device="cpu", **shape)
    for way in "timm", "timm, this allocator":
        assert ways[way]()["images/s"] > 0
    assert (here / "timm" / "prefix").read_text() == str(here / "venv")


def test_a_bare_name_is_looked_for_on_the_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = Asked(run=RECIPES["demo"].run).peer_python
    (here / "bin").mkdir()
    (here / "bin" / default).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{here / 'bin'}:{os.environ['PATH']}")
    assert find_peer(checkout=Path("timm"), python=default).python == here / "bin" / default
    with pytest.raises(FileNotFoundError, match="no python9; --peer-python wants a Python"):
        find_peer(checkout=Path("timm"), python=Path("python9"))


def test_tilde_is_the_home_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves it in --against=~/timm."""
    monkeypatch.setenv("HOME", str(here))
    found = find_peer(checkout=Path("~/timm"), python=Path(sys.executable))
    assert found.checkout == here / "timm"
