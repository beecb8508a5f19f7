"""The batch scripts as texts: no cluster needed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTHS = ("1.0", "1.3", "1.5", "2.0", "2.2", "3.0")
SCRIPTS = [REPOSITORY / "slurm" / f"rexnet_{width}.sh" for width in WIDTHS]
SHELL = sorted([*(REPOSITORY / "slurm").glob("*.sh"), *(REPOSITORY / "tests" / "cluster").glob("*.sh")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_names_the_recipe_of_its_own_name(script: Path) -> None:
    recipes = pytest.importorskip("launch.recipes", reason="no recipes yet")
    text = script.read_text()
    assert set(re.findall(r"rexnet_\d\.\d", text)) == {script.stem}
    assert script.stem in recipes.RECIPES


def test_the_six_differ_in_recipe_nodes_and_time_only() -> None:
    def general(script: Path) -> str:
        text = re.sub(r"--nodes=\d", "--nodes=N", script.read_text().replace(script.stem, "RECIPE"))
        return re.sub(r"--time=\d\d:00:00\n", "--time=T\n", text)

    assert len({general(script) for script in SCRIPTS}) == 1
    nodes = {s.stem: re.findall(r"^#SBATCH --nodes=(\d)$", s.read_text(), re.MULTILINE) for s in SCRIPTS}
    assert nodes == {s.stem: ["4" if s.stem == "rexnet_3.0" else "2"] for s in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_its_gpus_divide_the_recipes_batch_and_its_time_suffices(script: Path) -> None:
    from launch.plan import make_plan
    from launch.recipe import v100_rate
    from launch.recipes import RECIPES

    text = script.read_text()
    nodes, gpus = (
        int(re.findall(rf"^#SBATCH --{n}=(\d+)$", text, re.MULTILINE)[0]) for n in ("nodes", "gpus-per-node")
    )
    run = RECIPES[script.stem].run
    plan = make_plan(run, nodes=nodes, ranks=nodes * gpus)
    assert plan.accumulation == 1
    # The hours are derived, with perfect scaling: 2.5 times as many are still one attempt. A longer run goes
    # on by itself, and a limit far above the need only makes the wait in the queue longer.
    allowed = int(re.findall(r"^#SBATCH --time=(\d\d):00:00$", text, re.MULTILINE)[0])
    rate = v100_rate(run)
    assert rate is not None
    hours = run.epochs * 1_281_167 / (rate * plan.ranks) / 3600
    assert 2.5 <= allowed / hours <= 4


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("nodes", "gpus"), [(2, 8), (4, 4), (2, 4), (1, 2), (1, 1)])
def test_on_any_shape_it_trains_the_same_micro_batches(script: Path, nodes: int, gpus: int) -> None:
    from launch.plan import make_plan
    from launch.recipes import RECIPES

    run = RECIPES[script.stem].run
    plan = make_plan(run, nodes=nodes, ranks=nodes * gpus)
    assert (plan.batch, plan.micro_batch) == (run.batch, run.micro_batch)
    assert plan.micro_batch * plan.accumulation * plan.ranks == plan.batch


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
def test_without_slurm_it_says_what_to_type(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name in ("bash", "dirname", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"torchrun --nproc-per-node=gpu launch/train.py {script.stem} --data DIR" in done.stderr
