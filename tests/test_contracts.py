"""Who imports whom, and what an import may cost."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("rexnet", "pipeline", "launch")

MAY_IMPORT = {
    "rexnet": {"rexnet", "torch", "safetensors"},
    "pipeline": {"pipeline", "numpy", "PIL", "torch", "nvidia"},
    "launch/engine": {"launch.engine", "torch", "numpy", "safetensors", "apex", "pynvml"},
}
"""Folder: what it may import besides the standard library."""

COMPOSING = "benchmarking"
"""The folder of launch that puts the others together, as the modules beside it do, for one entry point."""

ROOMS = sorted({path.parent.name for path in REPOSITORY.glob("launch/*/__init__.py")} - {"engine", COMPOSING})
"""Folders of launch that may import engine, pipeline and rexnet, but not each other or the rest of launch."""

LIGHT = (
    *PACKAGES,
    "launch.benchmarking.asked",
    "launch.cli",
    "launch.config",
    "launch.export",
    "launch.export_request",
    "launch.predict",
    "launch.predict_request",
    "launch.recipes",
    "launch.engine.config",
)
"""Modules that import nothing slow, so that `--help` is instant."""


def modules(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Full names of the modules a file imports, inside functions too; `from a import b` counts as a.b."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import in line {node.lineno}"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def strangers(folder: str, allowed: set[str]) -> dict[str, set[str]]:
    """File of `folder`: what it imports that is neither allowed nor of the standard library."""
    found = {}
    for file in modules(folder):
        names = {name for name in imported(file) if name.split(".")[0] not in sys.stdlib_module_names}
        names = {name for name in names if not any(f"{name}.".startswith(f"{known}.") for known in allowed)}
        if names:
            found[str(file.relative_to(REPOSITORY))] = names
    return found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_only_what_it_may(folder: str) -> None:
    assert modules(folder)
    assert strangers(folder, MAY_IMPORT[folder]) == {}


def test_apex_stays_in_one_file() -> None:
    users = {
        str(file.relative_to(REPOSITORY))
        for package in PACKAGES
        for file in modules(package)
        if any(name.split(".")[0] in ("apex", "amp_C") for name in imported(file))
    }
    assert users <= {"launch/engine/optimizer.py"}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_do_not_know_each_other(room: str) -> None:
    allowed = {f"launch.{room}", "launch.engine"}
    inside = {
        file: {name for name in names if name.split(".")[0] == "launch"}
        for file, names in strangers(f"launch/{room}", allowed).items()
    }
    assert {file: names for file, names in inside.items() if names} == {}


def test_what_composes_is_for_its_entry_point_alone() -> None:
    users = {
        str(file.relative_to(REPOSITORY))
        for file in modules("launch")
        if any(name.startswith(f"launch.{COMPOSING}") for name in imported(file))
    }
    assert {user for user in users if not user.startswith(f"launch/{COMPOSING}/")} == {"launch/benchmark.py"}


@pytest.mark.parametrize("module", LIGHT)
def test_imports_nothing_slow(module: str) -> None:
    """In a process of its own, since this one has torch already."""
    heavy = ("torch", "nvidia.dali", "wandb", "submitit")
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_no_module_of_launch_shadows_another() -> None:
    """`python launch/NAME.py` puts launch/ first on the path until the entry point mends that."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) - {*PACKAGES, "tests"}
    top = {path.stem for path in (REPOSITORY / "launch").glob("*.py")} - {"__init__"}
    assert top & taken == set()


def entry_points() -> list[Path]:
    return [path for path in modules("launch") if '__name__ == "__main__"' in path.read_text()]


@pytest.mark.parametrize("path", entry_points(), ids=lambda path: path.stem)
def test_entry_point_is_short_and_runs_from_anywhere(path: Path, tmp_path: Path) -> None:
    """With a foreign `pipeline` where the user stands, and the repository not installed."""
    assert len(path.read_text().splitlines()) <= 80
    impostor = tmp_path / "pipeline"
    impostor.mkdir()
    (impostor / "__init__.py").write_text("raise SystemExit('the wrong pipeline')")
    done = subprocess.run(
        [sys.executable, path, "--help"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
