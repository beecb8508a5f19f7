"""launch/submit.py as far as it needs no cluster: what is asked for, on what, and what is refused."""

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from launch.cli import read_command
from launch.job_request import JobRequest, read_job_request
from launch.node_task import NodeTask
from launch.recipes import RECIPES
from launch.resources import find_resources, minutes_of, read_script
from launch.submission import Job, _environment_of_a_login, private_folder
from launch.submit import main
from pipeline.synthetic import make

SCRIPTS = Path(__file__).resolve().parents[2] / "slurm"
WIDTHS = [name for name in RECIPES if name.startswith("rexnet_")]


@pytest.fixture(autouse=True)
def login_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Slurm, nothing exported, an empty folder."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SBATCH_")) or name in ("DATA", "ENV", "PROCESSES", "CONTAINER"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("images") / "set", train=20, val=10)


@pytest.mark.parametrize("recipe", WIDTHS)
def test_what_nobody_names_is_the_scripts(recipe: str) -> None:
    lines = re.findall(
        r"^#SBATCH --(\S+)$", (SCRIPTS / f"{recipe.partition('-')[0]}.sh").read_text(), flags=re.MULTILINE
    )
    resources = find_resources(JobRequest(recipe=recipe), [recipe], scripts=SCRIPTS, environment={})
    told = {f"{name}={value}" if value is not True else name for name, value in resources.options.items()}
    assert told == set(lines)
    assert f"nodes={resources.nodes}" in lines and f"gpus-per-node={resources.gpus_per_node}" in lines
    assert resources.notice == 180


def test_a_flag_beats_a_variable_which_beats_the_script() -> None:
    environment = {"SBATCH_PARTITION": "gpu", "SBATCH_TIMELIMIT": "8:00:00", "SBATCH_ACCOUNT": "vision"}
    request = JobRequest(
        recipe="rexnet_2.0",
        time="2-12",
        gpus_per_node="v100:4",
        sbatch=("mail-type=END", "exclusive"),
        notice=300,
    )
    resources = find_resources(request, ["rexnet_2.0"], scripts=SCRIPTS, environment=environment)
    wanted = {"partition": "gpu", "account": "vision", "time": "2-12", "mail-type": "END", "exclusive": True}
    assert wanted.items() <= resources.options.items()
    assert (resources.nodes, resources.gpus_per_node, resources.minutes) == (2, 4, 60 * 60)
    assert resources.notice == 300 and "signal" not in resources.settings()
    resources = find_resources(JobRequest(), ["rexnet_2.0"], scripts=SCRIPTS, environment=environment)
    assert resources.minutes == 8 * 60


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("90:30", 91), ("24:00:00", 1440), ("0:30:01", 31), ("2-0", 2880), ("1-12:30", 2190)],
)
def test_time_limits_as_slurm_writes_them(time: str, minutes: int) -> None:
    assert minutes_of(time) == minutes


def test_each_width_is_trained_with_each_seed() -> None:
    asked = read_job_request(
        ["--array", "1.0,rexnet_1.3", "--seeds", "0,7", "--", "--data", "/d", "--lr", "2"]
    )
    assert asked is not None
    trainings = asked[1]
    found = [(t.recipe, t.command.run.seed) for t in trainings]
    resources = find_resources(asked[0], asked[0].recipes, scripts=SCRIPTS, environment={})
    times = [minutes_of(str(read_script(SCRIPTS, recipe)["time"])) for recipe in asked[0].recipes]
    assert len(set(times)) == 2 and resources.minutes == max(times)
    assert found == [("rexnet_1.0", 0), ("rexnet_1.0", 7), ("rexnet_1.3", 0), ("rexnet_1.3", 7)]
    for training in trainings:
        assert training.command == read_command(training.arguments)
        assert (training.command.run.optim.lr, training.command.run.data) == (2, Path("/d"))


def test_the_data_set_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/from/the/environment")
    for flags, wanted in ([], "/from/the/environment"), (["--data=/given"], "/given"):
        asked = read_job_request(["rexnet_1.0", "--", *flags])
        assert asked is not None and asked[1][0].command.run.data == Path(wanted)


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one message of a submission that is refused."""
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.err.startswith("submit.py: ") and told.err.count("\n") == 1, told.err
    assert not Path("runs").exists()
    return told.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("", "which recipe? python launch/submit.py rexnet_1.0"),
        ("rexnet_2.1", "there is no recipe 'rexnet_2.1'"),
        ("--array 1.0,1.4", "there is no recipe 'rexnet_1.4'"),
        ("rexnet_2.0 --nodez 3", "--nodes"),
        ("rexnet_2.0 --epochs 3", "Flags of launch/train.py stand behind --"),
        ("rexnet_2.0 -- --epoch 3", "--epochs"),
        ("rexnet_2.0 -- --dry-run", "needs no job: python launch/train.py rexnet_2.0 --dry-run"),
        ("rexnet_2.0 --array 1.0", "not both"),
        ("rexnet_2.0 --seeds 0,1 -- --seed 3", "not both"),
        ("rexnet_2.0 --seeds 0,0", "different values with commas between them"),
        ("rexnet_2.0 --seeds 0,1 -- --out here", "2 runs; leave it out"),
        ("rexnet_2.0 --sbatch --mail-type=END", "mail-type"),
        ("rexnet_2.0 --sbatch signal=USR1", "see --notice"),
        ("rexnet_2.0 --cluster local --nodes 2", "this machine alone"),
        ("rexnet_2.0 --nodes 0", "at least 1"),
        ("rexnet_2.0", "needs a data set: behind --, --data DIR, or once for all export DATA=DIR"),
        ("rexnet_2.0 -- --data /nowhere", "no folder /nowhere"),
        ("rexnet_2.0 --time soon -- --data DATA", "--time 24:00:00"),
        ("rexnet_2.0 --gpus-per-node v100 -- --data DATA", "gpus-per-node is v100, but must be a number"),
        ("rexnet_2.0 --nodes 3 -- --data DATA", "on 3 nodes x 8 processes each: batch 1024"),
        ("--array 1.0,3.0 -- --data DATA", "other resources (nodes)"),
        ("rexnet_2.0 -- --data DATA", "there is no Slurm here (no sbatch, srun, scontrol on the PATH)"),
        ("rexnet_2.0 -- --data DATA", "python launch/submit.py rexnet_2.0 --cluster local"),
    ],
)
def test_mistakes_end_before_anything_is_submitted(
    argv: str, words: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words_of = [str(data) if word == "DATA" else word for word in argv.split()]
    assert words in refused(words_of, capsys)


def test_without_submitit_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("launch.submission.importlib.util.find_spec", lambda name: None)
    assert 'pip install --upgrade -c constraints/cpu.txt -e ".[train]"' in refused(
        ["demo", "--cluster", "local"], capsys
    )


def test_a_dry_run_tells_all_and_submits_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["rexnet_3.0", "--partition", "gpu", "--dry-run", "--", "--data", str(data), "--seed", "2"]
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "rexnet_3.0: 4 nodes x 8 processes x 32 images x 1 accumulated = batch 1024" in told
    assert f"launch/train.py rexnet_3.0 --data {data} --seed 2" in told
    assert "--nodes=4" in told and "--partition=gpu" in told and "--requeue" in told
    assert not Path("runs").exists()


def test_a_jobs_environment_does_not_reach_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the batch file says would be overruled by sbatch's variables."""
    monkeypatch.setenv("SLURM_CONF", "kept")
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SBATCH_PARTITION", "of the site")
    monkeypatch.setenv("SBATCH_SIGNAL", "B:USR1@5")
    monkeypatch.setenv("SBATCH_RESERVATION", "kept")
    before = dict(os.environ)
    with _environment_of_a_login({"partition": "gpu"}):
        hidden = set(before) - set(os.environ)
    assert hidden == {"SLURM_JOB_ID", "SBATCH_PARTITION", "SBATCH_SIGNAL"}
    assert dict(os.environ) == before


def test_what_is_not_submitted_leaves_no_folder(tmp_path: Path) -> None:
    with private_folder(tmp_path / "runs" / ".submitit", name="x") as kept:
        assert stat.S_IMODE(kept.stat().st_mode) == stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    with pytest.raises(KeyboardInterrupt), private_folder(kept.parent, name="x") as folder:
        raise KeyboardInterrupt
    assert kept.exists() and not folder.exists()


@pytest.mark.parametrize("file", ["recipes/my.py", "../my.py", "ABSOLUTE/my.py"])
def test_a_recipe_of_ones_own_is_kept_under_its_name(
    file: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is a path, which must not become one of .submitit."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    path = Path(file.replace("ABSOLUTE", str(tmp_path)))
    path.parent.mkdir(exist_ok=True)
    path.write_text('from launch.recipes import RECIPES\n\nN = RECIPES["demo"].run\n')
    kept: list[Path] = []

    def start(task: NodeTask, *, folder: Path) -> Job:
        kept.append(folder)
        return Job(id="7", log=folder / "7_0_log.out")

    monkeypatch.setattr("launch.submitting.start_here", start)
    assert main([f"{path}:N", "--cluster", "local", "--", "--data", str(data)]) == 0
    assert kept[0].parent == here / "runs" / ".submitit" and kept[0].name.startswith("my.N-")


def test_the_command_of_a_node_has_the_users_flags(tmp_path: Path) -> None:
    """Also --fresh: the trainer itself knows what an earlier attempt at the job has moved aside."""
    from launch.history import History
    from launch.seat import Seat
    from launch.trial import Trial

    task = NodeTask(checkout="/c", python="py", folder="/", trainings=(), processes=4)
    words = ["demo", "--fresh", "--lr", "1"]
    for attempt in 0, 1:
        seat = Seat(job="7", attempt=attempt, hosts=("a", "b"), node=1, rendezvous="a:1", folder=tmp_path)
        trial = Trial(seat=seat, history=History(tmp_path, "7"))
        command = task._command(trial, words)
        assert command == ["bash", "/c/slurm/node.sh", "py", "2", "4", "a:1", f"7.{attempt}", *words]


def test_a_job_queued_again_goes_on_with_the_run_that_it_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--fresh would have moved the first one, finished, aside."""
    from launch.requeue import Decision
    from launch.seat import Seat
    from launch.trial import RunEnded, Trial

    monkeypatch.setattr("launch.node_task.signal.signal", lambda number, what: lambda number, frame: None)
    seat = Seat(job="7", attempt=0, hosts=("a",), node=0, rendezvous="a:1", folder=tmp_path)
    came_to: list[str] = []

    def train(self: NodeTask, trial: Trial, training: tuple[str, ...], queue_again: object) -> Decision:
        came_to.append(training[0])
        if training[0] == "two" and came_to.count("two") == 1:
            raise SystemExit(1)
        return Decision(action="end", code=int(training[0] == "one"), reason=f"end of {training[0]}")

    monkeypatch.setattr(NodeTask, "_train", train)
    task = NodeTask(
        checkout="/c", python="py", folder="/", trainings=(("one",), ("two",), ("three",)), processes=1
    )
    with pytest.raises(SystemExit):
        task._train_all(seat)
    with pytest.raises(RunEnded, match=r"^end of one$"):
        replace(task)._train_all(seat)
    assert came_to == ["one", "two", "two", "three"]


def test_recipes_without_a_script_have_another_ones_resources() -> None:
    assert read_script(SCRIPTS, "demo") == read_script(SCRIPTS, "rexnet_1.0")
