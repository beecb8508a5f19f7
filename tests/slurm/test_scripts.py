"""The batch scripts as texts: no cluster needed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTHS = ("1.0", "1.3", "1.5", "2.0", "2.2", "3.0")
SCRIPTS = [REPOSITORY / "slurm" / f"rexnet_{width}.sh" for width in WIDTHS]
SHELL = [*SCRIPTS, REPOSITORY / "slurm" / "job.sh", *sorted((REPOSITORY / "tests" / "cluster").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_names_the_recipe_of_its_own_name(script: Path) -> None:
    recipes = pytest.importorskip("launch.recipes", reason="no recipes yet")
    text = script.read_text()
    assert set(re.findall(r"rexnet_\d\.\d", text)) == {script.stem}
    assert script.stem in recipes.RECIPES


def test_the_six_differ_in_recipe_and_nodes_only() -> None:
    def general(script: Path) -> str:
        return re.sub(r"--nodes=\d", "--nodes=N", script.read_text().replace(script.stem, "RECIPE"))

    assert len({general(script) for script in SCRIPTS}) == 1
    nodes = {s.stem: re.findall(r"^#SBATCH --nodes=(\d)$", s.read_text(), re.MULTILINE) for s in SCRIPTS}
    assert nodes == {s.stem: ["4" if s.stem == "rexnet_3.0" else "2"] for s in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_its_gpus_divide_the_recipes_batch(script: Path) -> None:
    from launch.plan import make_plan
    from launch.recipes import RECIPES

    text = script.read_text()
    nodes, gpus = (
        int(re.findall(rf"^#SBATCH --{n}=(\d+)$", text, re.MULTILINE)[0]) for n in ("nodes", "gpus-per-node")
    )
    plan = make_plan(RECIPES[script.stem].run, nodes=nodes, ranks=nodes * gpus)
    assert plan.accumulation == 1


def test_no_hyperparameter_in_slurm() -> None:
    names = (
        "--lr",
        "--batch",
        "--epochs",
        "--weight-decay",
        "--image-size",
        "--seed",
        "--precision",
        "--micro",
    )
    for script in (REPOSITORY / "slurm").glob("*.sh"):
        assert not [name for name in names if name in script.read_text()], script


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_bash_can_read_it(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_shellcheck_has_nothing_to_say() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", *map(str, SHELL)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_by_hand_it_says_how_to_submit(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"sbatch slurm/{script.name}" in done.stderr
