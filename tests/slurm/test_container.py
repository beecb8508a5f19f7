"""The Apptainer definition: what can be checked of it where no image can be built."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_packaging import REPOSITORY, constraints

TEXT = (REPOSITORY / "slurm" / "rexnet.def").read_text()
HELD = constraints("v100", python="3.12.3")
"""Ubuntu 24.04 has Python 3.12."""


def sections(name: str) -> list[str]:
    """Returns the texts of the sections called %name, in order."""
    found = re.findall(rf"^%{name}\b[^\n]*\n(.*?)(?=^%|^Bootstrap:|\Z)", TEXT, flags=re.M | re.S)
    assert found, f"no section %{name}"
    return found


def test_its_versions_are_those_of_the_set() -> None:
    stated = dict(re.findall(r"\b(torch|DALI) (\d[\d.]*\d)", TEXT))
    assert stated == {"torch": HELD["torch"], "DALI": HELD["nvidia-dali-cuda120"]}
    (image,) = re.findall(r"^From: nvidia/cuda:([\d.]+)-devel-ubuntu24\.04$", TEXT, flags=re.M)
    cuda = ".".join(HELD["nvidia-cuda-runtime-cu12"].split(".")[:2])
    assert image.startswith(f"{cuda}.") and f"(CUDA {cuda}, sm_70)" in TEXT
    assert "From: ubuntu:24.04\n" in TEXT, "the environment's Python must be the one it was made with"


def test_packages_come_through_the_constraints_alone() -> None:
    """No version beside those of the set but pip's own, which is in none."""
    first, second = sections("post")
    assert "PIP_CONSTRAINT=/src/constraints/v100.txt" in first and '".[train,v100]"' in first
    assert re.findall(r'"?([\w-]+)[=<>~]=', first) == ["pip"] and "pip" not in second
    assert "--group apex" in first and "TORCH_CUDA_ARCH_LIST=7.0" in first


@pytest.mark.parametrize("name", ["post", "environment", "test", "runscript"])
def test_its_shell_is_sound(name: str) -> None:
    for text in sections(name):
        assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0
        if shutil.which("shellcheck"):
            done = subprocess.run(
                ["shellcheck", "--shell=sh", "-"], input=text, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout


def test_files_that_it_copies_are_there() -> None:
    own, from_build = sections("files")
    pairs = [line.split() for line in own.splitlines() if line.strip()]
    assert {there for _, there in pairs} == {f"/src/{here}" for here, _ in pairs}
    assert [here for here, _ in pairs if not (REPOSITORY / here).exists()] == []
    assert {"pyproject.toml", "rexnet", "README.md", "LICENSE"} <= {here for here, _ in pairs}
    assert from_build.split() == ["/opt/rexnet", "/opt/rexnet"]


def test_arguments_have_defaults_and_are_used() -> None:
    stated = set(re.findall(r"^\s+(\w+)=", sections("arguments")[0], flags=re.M))
    assert stated == set(re.findall(r"\{\{ (\w+) \}\}", TEXT)) == set(re.findall(r"--build-arg (\w+)=", TEXT))


def test_it_says_that_nobody_has_built_it() -> None:
    assert "NOT BUILT HERE" in TEXT
    assert "has not been built" in Path(REPOSITORY / "docs" / "install.md").read_text()
