"""What gets installed: the wheel, its requirements, and the working sets in constraints/."""

import importlib.metadata
import inspect
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import rexnet
from rexnet.model import create_model
from rexnet.weights import save_weights

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
SETS = ("cpu", "v100")


def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def requirements(*extras: str) -> list[Requirement]:
    """The project's requirements with some extras, which may include each other."""
    found = [Requirement(line) for line in project()["project"]["dependencies"]]
    for extra in extras:
        for line in project()["project"]["optional-dependencies"][extra]:
            requirement = Requirement(line)
            found += requirements(*requirement.extras) if requirement.name == "rexnet" else [requirement]
    return found


def all_requirements() -> Iterator[tuple[str, Requirement]]:
    """Every requirement that pyproject.toml states, with the place where it stands."""
    content = project()
    tables = {
        "build-system": {"requires": content["build-system"]["requires"]},
        "project": {"dependencies": content["project"]["dependencies"]},
        "optional-dependencies": content["project"]["optional-dependencies"],
        "dependency-groups": content["dependency-groups"],
    }
    for table, lists in tables.items():
        for name, lines in lists.items():
            yield from ((f"{table}.{name}", Requirement(line)) for line in lines)


def constraint_lines(name: str) -> list[Requirement]:
    lines = (REPOSITORY / "constraints" / f"{name}.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def constraints(name: str, python: str = ".".join(map(str, sys.version_info[:3]))) -> dict[str, str]:
    """Name and version of what a set holds for a version of Python."""
    short = ".".join(python.split(".")[:2])
    found: dict[str, str] = {}
    for line in constraint_lines(name):
        environment = {"python_version": short, "python_full_version": python}
        if line.marker is None or line.marker.evaluate(environment):
            key = canonicalize_name(line.name)
            assert key not in found, f"constraints/{name}.txt names {key} twice for Python {python}"
            found[key] = str(line.specifier).removeprefix("==")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by the backend of this environment."""
    out = tmp_path_factory.mktemp("wheel")
    program = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, out], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("rexnet-*.whl")))


def test_wheel_holds_the_network_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    info = f"rexnet-{project()['project']['version']}.dist-info"
    assert {name.split("/")[0] for name in names} == {"rexnet", info}
    sources = {f"rexnet/{path.name}" for path in (REPOSITORY / "rexnet").glob("*.py")}
    assert {name for name in names if name.startswith("rexnet/")} == {
        *sources,
        "rexnet/variants.json",
        "rexnet/py.typed",
    }
    assert f"{info}/licenses/LICENSE" in names


def test_wheel_is_used_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """From the wheel's files, without the checkout, nothing but torch and safetensors being there."""
    wheel.extractall(tmp_path)
    model = create_model("rexnet_0.2", num_classes=3)
    save_weights(model, tmp_path / "file.safetensors", variant="rexnet_0.2", class_names=["a", "b", "c"])
    program = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "PIL", "nvidia", "tyro", "rich", "wandb", "pipeline", "launch"]))
import rexnet, torch
assert rexnet.__file__.startswith(sys.argv[1]), rexnet.__file__
model = rexnet.create_model("rexnet_0.2", weights="file.safetensors").eval()
print(rexnet.read_class_names("file.safetensors"), *model(torch.zeros(1, 3, 32, 32)).shape)
print(sum(p.numel() for p in rexnet.create_model("rexnet_1.0").parameters()))
"""
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]  # torch warns without numpy
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["['a', 'b', 'c'] 1 3", "4796873"], done.stderr


def test_public_docstrings_name_every_argument() -> None:
    for name in rexnet.__all__:
        public = getattr(rexnet, name)
        words = set(re.findall(r"\w+", public.__doc__ or ""))
        assert set(inspect.signature(public).parameters) <= words, name


def test_license_keeps_the_authors_notice() -> None:
    text = (REPOSITORY / "LICENSE").read_text()
    assert "Copyright (c) 2020-present NAVER Corp." in text
    assert "Permission is hereby granted, free of charge" in text


def test_apex_is_nvidias_or_nothing() -> None:
    """The package of that name on the index is a stranger's."""
    stated = [
        (place, entry) for place, entry in all_requirements() if canonicalize_name(entry.name) == "apex"
    ]
    assert [place for place, _ in stated] == ["dependency-groups.apex"]
    assert re.fullmatch(r"git\+https://github\.com/NVIDIA/apex@[0-9a-f]{40}", stated[0][1].url or "")
    for name in SETS:
        assert "apex" not in {canonicalize_name(line.name) for line in constraint_lines(name)}


def test_nothing_tells_to_install_the_index_apex() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout.splitlines() or ["README.md", "docs/install.md", "pyproject.toml", ".ci/run"]
    for name in files:
        path = REPOSITORY / name
        if (
            path.suffix in (".py", ".md", ".toml", ".sh", ".txt", ".cfg", ".yml", ".yaml", "")
            and path.is_file()
        ):
            for line in path.read_text(errors="replace").splitlines():
                _, _, wanted = line.partition("pip install ")
                words = [word.strip("\"'`") for word in wanted.replace("--group apex", "").split()]
                assert not [word for word in words if re.match(r"apex([=<>~!\[]|$)", word)], f"{name}: {line}"


def test_bounds_that_have_a_reason() -> None:
    stated = {entry.name: entry.specifier for entry in requirements("train")}
    assert stated["torch"] == SpecifierSet(">=2.10,<2.15")
    assert "0.9.0.20" not in stated["nvidia-nvimgcodec-cu12"]
    assert "2.3.0" not in stated["nvidia-dali-cuda120"]
    assert [str(entry) for entry in requirements("v100") if entry.specifier == "==2.10.0"] == [
        "torch==2.10.0"
    ]
    train = {entry.name for entry in requirements("train")}
    assert train < {entry.name for entry in requirements("test")}


@pytest.mark.parametrize("name", SETS)
def test_constraints_name_versions_and_nothing_else(name: str) -> None:
    for line in constraint_lines(name):
        assert line.url is None and not line.extras
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(line.specifier)), f"{line}: not one public version"


@pytest.mark.parametrize("python", ["3.10.12", "3.11.2", "3.12.3", "3.13.0", "3.14.0"])
@pytest.mark.parametrize("name", SETS)
def test_constraints_meet_the_requirements(name: str, python: str) -> None:
    held = constraints(name, python)
    for entry in requirements("train", "test", *(["v100"] if name == "v100" else [])):
        version = held[canonicalize_name(entry.name)]
        assert version in entry.specifier, f"{entry}, but constraints/{name}.txt holds {version}"


def test_constraints_of_v100() -> None:
    held = constraints("v100")
    assert held["torch"] == "2.10.0"
    assert held["nvidia-cudnn-cu12"].startswith("9.10."), "9.11 ended Volta's support"
    assert not [name for name in held if name.endswith("-cu13")]


@pytest.mark.parametrize("name", SETS)
def test_constraints_are_full(name: str) -> None:
    """All that the installed packages ask for, to the last, but for torch's own in the set it is not from."""
    held = constraints(name)
    seen: set[str] = set()
    waiting = [(entry.name, frozenset(entry.extras)) for entry in requirements("test")]
    while waiting:
        package, extras = waiting.pop()
        key = canonicalize_name(package)
        if key in seen:
            continue
        seen.add(key)
        if name == "v100" and key == "torch":
            continue
        for line in importlib.metadata.requires(key) or []:
            entry = Requirement(line)
            if entry.marker is None or any(entry.marker.evaluate({"extra": e}) for e in (*extras, "")):
                waiting.append((entry.name, frozenset(entry.extras)))
    assert len(seen) > 50
    assert seen - set(held) == set()
