"""What the batch scripts do on a cluster, with a stand-in for the trainer."""

import json
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.slurm


def ranks(out: Path, *, attempt: int = 0) -> list[dict]:
    """What each rank of an attempt has seen, in the order of ranks."""
    records = [json.loads(path.read_text()) for path in out.glob(f"attempt{attempt}-rank*.json")]
    return sorted(records, key=lambda record: record["rank"])


def test_arguments_processes_and_folders(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """From the checkout, on the two nodes of the script, two processes each."""
    out = tmp_path / "out"
    number = cluster.submit(
        *("slurm/rexnet_2.0.sh", "--out", str(out), "--note", "two words; $HOME *"),
        cwd=checkout,
        env=environment | {"PROCESSES": "2", "DATA": "/data set"},
    )
    record = cluster.finish(number)
    log = (checkout / f"rexnet_2.0-{number}.out").read_text()
    assert record["JobState"] == "COMPLETED", log
    seen = ranks(out)
    assert [s["rank"] for s in seen] == [0, 1, 2, 3]
    assert {s["world"] for s in seen} == {4}
    assert sorted(s["host"] for s in seen) == ["node1", "node1", "node2", "node2"]
    assert {s["gpus"] for s in seen} == {"0,1,2,3,4,5,6,7"}
    assert {s["folder"] for s in seen} == {str(checkout)}
    expected = ["rexnet_2.0", "--out", str(out), "--note", "two words; $HOME *", "--data", "/data set"]
    assert all(s["arguments"] == expected for s in seen)
    assert "ended: done, step 1 (srun: 0)" in log
    assert not any((checkout / "runs" / ".slurm").iterdir())


def test_another_shape_needs_no_other_change(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """From `/`; the GPUs of a node say how many processes; --data beats DATA."""
    out = tmp_path / "out"
    number = cluster.submit(
        *("--nodes=1", "--gpus-per-node=4", f"--output={tmp_path}/%x-%j.log"),
        *(str(checkout / "slurm" / "rexnet_3.0.sh"), "--out", str(out), "--data=/given"),
        cwd=Path("/"),
        env=environment | {"PROCESSES": "", "DATA": "/data"},
    )
    record = cluster.finish(number)
    log = (tmp_path / f"rexnet_3.0-{number}.log").read_text()
    assert record["JobState"] == "COMPLETED", log
    seen = ranks(out)
    assert [(s["rank"], s["world"], s["host"]) for s in seen] == [(r, 4, "node1") for r in range(4)]
    assert {s["gpus"] for s in seen} == {"0,1,2,3"}
    assert all(s["arguments"] == ["rexnet_3.0", "--out", str(out), "--data=/given"] for s in seen)
    assert "20 CPUs per node" in log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "nodes", "per_node"),
    [
        ((), 2, 8),  # as the script has it
        (("--gpus-per-node=4",), 2, 4),
        (("--nodes=1", "--gpus-per-node=2"), 1, 2),
        (("--nodes=1", "--gpus-per-node=1"), 1, 1),  # a process that sees one device
    ],
)
def test_the_gpus_that_are_asked_for_are_the_processes(
    cluster: Cluster,
    checkout: Path,
    environment: dict[str, str],
    tmp_path: Path,
    options: tuple[str, ...],
    nodes: int,
    per_node: int,
) -> None:
    out = tmp_path / "out"
    number = cluster.submit(
        *(*options, "slurm/rexnet_2.0.sh", "--out", str(out)),
        cwd=checkout,
        env=environment | {"PROCESSES": ""},
    )
    record = cluster.finish(number)
    assert record["JobState"] == "COMPLETED", (checkout / f"rexnet_2.0-{number}.out").read_text()
    seen = ranks(out)
    assert [s["rank"] for s in seen] == list(range(nodes * per_node))
    assert {s["world"] for s in seen} == {nodes * per_node}
    assert {s["settings"]["LOCAL_WORLD_SIZE"] for s in seen} == {str(per_node)}
    assert len({(s["host"], s["settings"]["LOCAL_RANK"]) for s in seen}) == nodes * per_node
    assert {s["gpus"] for s in seen} == {",".join(map(str, range(per_node)))}
    assert all(s["arguments"] == ["rexnet_2.0", "--out", str(out)] for s in seen)


@pytest.mark.slow
def test_gpus_that_are_asked_for_per_task(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Beside the script's own --gpus-per-node: all of a node's GPUs still go to its one torchrun."""
    out = tmp_path / "out"
    number = cluster.submit(
        *("--nodes=1", "--gpus-per-node=2", "--ntasks-per-node=2", "--gpus-per-task=1"),
        *("slurm/rexnet_2.0.sh", "--out", str(out)),
        cwd=checkout,
        env=environment | {"PROCESSES": ""},
    )
    record = cluster.finish(number)
    assert record["JobState"] == "COMPLETED", (checkout / f"rexnet_2.0-{number}.out").read_text()
    assert [(s["rank"], s["world"], s["gpus"]) for s in ranks(out)] == [(0, 2, "0,1"), (1, 2, "0,1")]


@pytest.mark.parametrize(
    ("plan", "exit_code", "word"),
    [
        ("user-error", "2:0", "ended: user-error, no such folder (srun: 1)"),
        ("fault", "1:0", "ended: fault, step 3, it broke (srun: 1)"),
        ("silent", "0:0", "ended: no word from the trainer (srun: 0)"),
    ],
)
def test_an_end_of_its_own_is_final(
    cluster: Cluster, checkout: Path, environment: dict[str, str], plan: str, exit_code: str, word: str
) -> None:
    number = cluster.submit(
        *("--nodes=1", "slurm/rexnet_1.0.sh", "--out", str(checkout / "out"), "--plan", plan),
        cwd=checkout,
        env=environment,
    )
    record = cluster.finish(number)
    assert word in (checkout / f"rexnet_1.0-{number}.out").read_text()
    assert record["JobState"] == ("COMPLETED" if exit_code == "0:0" else "FAILED")
    assert (record["ExitCode"], record["Restarts"]) == (exit_code, "0")


def test_a_script_from_nowhere_says_what_to_type(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A copy elsewhere: the job's record does not name the checkout, the submit folder may."""
    copy = tmp_path / "mine.sh"
    copy.write_bytes((checkout / "slurm" / "rexnet_1.5.sh").read_bytes())
    log = tmp_path / "log"
    number = cluster.submit("--nodes=1", f"--output={log}", str(copy), cwd=tmp_path, env=environment)
    assert cluster.finish(number)["ExitCode"] == "2:0"
    assert (
        f"no checkout at '{copy}' nor in {tmp_path}; type: sbatch CHECKOUT/slurm/rexnet_1.5.sh"
        in log.read_text()
    )
    number = cluster.submit(
        *("--nodes=1", f"--output={log}", str(copy), "--out", str(tmp_path / "out")),
        cwd=checkout,
        env=environment,
    )
    assert cluster.finish(number)["JobState"] == "COMPLETED"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"ENV": "/nonexistent"}, "ENV=/nonexistent has no bin/python"),
        ({"PROCESSES": "many"}, "processes per node: 'many'"),
    ],
)
def test_wrong_settings_end_with_one_message(
    cluster: Cluster, checkout: Path, environment: dict[str, str], settings: dict[str, str], word: str
) -> None:
    number = cluster.submit("--nodes=1", "slurm/rexnet_1.3.sh", cwd=checkout, env=environment | settings)
    assert cluster.finish(number)["ExitCode"] == "2:0"
    assert word in (checkout / f"rexnet_1.3-{number}.out").read_text()


DOCTOR = """import os, sys
if os.environ["RANK"] == "0":
    print("the doctor was here:", *sys.argv[1:])
sys.exit(1 if "--sick" in sys.argv else 0)
"""


@pytest.mark.parametrize("sick", [False, True])
def test_the_doctor_comes_first_and_his_errors_end_the_job(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path, sick: bool
) -> None:
    (checkout / "launch" / "doctor.py").write_text(DOCTOR)
    out, more = tmp_path / "out", ("--sick",) if sick else ("--fit",)
    number = cluster.submit(
        *("slurm/rexnet_1.0.sh", "--out", str(out), *more), cwd=checkout, env=environment | {"DOCTOR": ""}
    )
    record = cluster.finish(number)
    log = (checkout / f"rexnet_1.0-{number}.out").read_text()
    assert f"the doctor was here: rexnet_1.0 --out {out} {more[0]} --quick" in log
    assert (record["ExitCode"], record["Restarts"]) == ("2:0" if sick else "0:0", "0")
    assert ("nothing was trained: mend what the table above calls an error" in log) == sick
    assert out.exists() != sick
    assert not any((checkout / "runs" / ".slurm").iterdir())
    if not sick:
        assert ranks(out)[0]["arguments"] == ["rexnet_1.0", "--out", str(out), "--fit"]


def test_a_login_shells_env_file_is_no_environment(
    cluster: Cluster, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (checkout / ".venv").symlink_to(environment["ENV"])
    settings = environment | {"ENV": str(checkout / "slurm" / "job.sh")}
    number = cluster.submit(
        *("--nodes=1", "slurm/rexnet_1.0.sh", "--out", str(tmp_path / "out")), cwd=checkout, env=settings
    )
    log = checkout / f"rexnet_1.0-{number}.out"
    assert cluster.finish(number)["JobState"] == "COMPLETED", log.read_text()
    assert "is a file, hence not a virtual environment's folder" in log.read_text()
    assert f"{checkout}/.venv/bin/python" in log.read_text()
