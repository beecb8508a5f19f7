"""Runs in an Apptainer image. Apptainer itself is a stand-in."""

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.synthetic import make
from tests.cluster.cluster import Cluster
from tests.slurm.conftest import REPOSITORY
from tests.slurm.test_job import ranks
from tests.slurm.test_site import outputs, write_site

APPTAINER = """#!/bin/bash
# Stands in for apptainer exec --nv [--bind DIR]... --pwd DIR IMAGE COMMAND...
[[ $1 == exec && $2 == --nv ]] || exit 9
shift 2
while [[ $1 == --* ]]; do
    if [[ $1 == --bind ]]; then
        [[ -d $2 ]] || exit 8
        bound+=$2:
    fi
    [[ $1 == --pwd ]] && cd "$2"
    shift 2
done
[[ -e $1 ]] || exit 7
export INSIDE_IMAGE=$1 BOUND=$bound
shift
exec "$@"
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make(tmp_path / "images", train=20, val=10)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image, beside a program that takes it for one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apptainer").write_text(APPTAINER)
    (programs / "apptainer").chmod(0o755)
    image = programs / "my image.sif"
    image.touch()
    return image


def run_inside(image: Path, command: str, *, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{image.parent}:{os.environ['PATH']}", "HOME": str(cwd), "CONTAINER": str(image)}
    return subprocess.run(
        ["bash", str(REPOSITORY / "slurm" / "inside.sh"), "bash", "-c", command],
        cwd=cwd,
        env=os.environ | {"DATA": "", "ENV": "", "STAGE": ""} | path | variables,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("written", ["HOME/my cache", "~/my cache", "my cache"])
def test_the_cache_is_made_and_bound(image: Path, tmp_path: Path, written: str) -> None:
    """Apptainer binds no /scratch by itself, and nothing inside can make it."""
    told = written.replace("HOME", str(tmp_path))
    done = run_inside(image, 'echo "$BOUND"', cwd=tmp_path, REXNET_CACHE=told)
    assert done.returncode == 0, done.stderr
    cache = tmp_path / "my cache"
    assert cache.is_dir() and done.stdout.strip() == f"{REPOSITORY}:{tmp_path}:{cache}:"


def test_without_a_cache_none_is_bound(image: Path, tmp_path: Path) -> None:
    done = run_inside(image, 'echo "$BOUND"', cwd=tmp_path, REXNET_CACHE="")
    assert done.stdout.strip() == f"{REPOSITORY}:{tmp_path}:", done.stderr


def test_a_cache_that_cannot_be_made_is_named(image: Path, tmp_path: Path) -> None:
    told = f"{image}/cache"  # beneath a file
    done = run_inside(image, "true", cwd=tmp_path, REXNET_CACHE=told)
    assert done.returncode == 2 and f"REXNET_CACHE={told} cannot be made on " in done.stderr


@pytest.mark.slow
@pytest.mark.slurm
def test_in_an_image_with_a_network_card(
    cluster: Cluster, checkout: Path, environment: dict[str, str], images: Path, image: Path, tmp_path: Path
) -> None:
    """The image's own python is not the user's environment."""
    cache = tmp_path / "my cache"
    write_site(
        checkout,
        DATA=str(images),
        CONTAINER=str(image),
        REXNET_CACHE=str(cache),
        IFNAME="eth0",
        PROCESSES="1",
        PATH=f"{image.parent}:{Path(environment['ENV']) / 'bin'}:{os.environ['PATH']}",
    )
    out = tmp_path / "out"
    told = cluster.call("bash", "slurm/rexnet_2.0.sh", "--", "--out", str(out), cwd=checkout)
    number = int(outputs(told)["job"])
    record = cluster.finish(number)
    log = (checkout / f"rexnet_2.0-{number}.out").read_text()
    assert record["JobState"] == "COMPLETED", log
    for seen in ranks(out):
        settings = seen["settings"]
        assert settings["INSIDE_IMAGE"] == str(image)
        assert {str(checkout), str(images), str(cache)} <= set(settings["BOUND"].split(":"))
        assert (settings["NCCL_SOCKET_IFNAME"], settings["GLOO_SOCKET_IFNAME"]) == ("eth0", "eth0")
    assert "ended: done, step 1" in log
