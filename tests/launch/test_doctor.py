"""The doctor as a user starts it: on this machine, by torchrun, and where something is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launch.checks import apex, data_set, decoding, disk, tracking
from launch.checks.table import ORDER
from pipeline import synthetic
from pipeline.index import open_splits
from tests.launch.program import REPOSITORY, run

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("doctor") / "set", classes=3, train=40, val=20)


def levels(shown: str) -> dict[str, str]:
    """Check: result, of a table."""
    lines = [line for line in shown.splitlines()[1:-1] if not line.startswith(" ")]
    return {line[:11].strip(): line[11:20].strip() for line in lines}


def test_by_torchrun_with_a_data_set_and_a_key(data: Path, tmp_path: Path) -> None:
    """One table for both processes, nothing left behind, no key shown."""
    flags = ("--data", data, "--out", tmp_path / "run", "--batch", 64, "--quick")
    done = run(
        "doctor", "demo", *flags, processes=2, cwd=tmp_path,
        WANDB_API_KEY=KEY, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_MODE="online",
        REXNET_CACHE=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = levels(done.stdout)
    assert list(found) == [name for name in ORDER if name != "reading"]
    crowded = {"binding"} if len(os.sched_getaffinity(0)) < 2 else set()
    assert {name for name, level in found.items() if level != "ok"} == {"data set", "W&B"} | crowded
    assert "GB/s bus bandwidth over gloo between 2 processes on 1 machine" in done.stdout
    assert "1 node x 2 processes x 32 images x 1 accumulated = batch 64" in done.stdout
    assert f"type: python launch/index.py {data}" in done.stdout
    assert (
        "a key is set, but 127.0.0.1 cannot be reached" in done.stdout and "type: wandb sync" in done.stdout
    )
    assert KEY not in done.stdout + done.stderr
    assert done.stdout.count("machine    ok") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_would_keep_a_run_from_training_is_one_line_each(tmp_path: Path) -> None:
    """As JSON, which holds no environment variables; on a folder that even root cannot write."""
    shutil.copytree(stranger(tmp_path), tmp_path / "path", dirs_exist_ok=True)
    flags = ("rexnet_2.0", "--data", tmp_path / "none", "--out", "/proc/none", "--quick", "--json")
    done = run("doctor", *flags, cwd=tmp_path, PYTHONPATH=str(tmp_path / "path"), SECRET_OF_MINE=KEY)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    content = json.loads(done.stdout)
    assert content["verdict"] == "error" and KEY not in done.stdout
    rows = {row["check"]: row for row in content["rows"]}
    bad = {name: row for name, row in rows.items() if row["level"] != "ok"}
    assert {name: row["level"] for name, row in bad.items()} == {
        "data set": "error",
        "run folder": "error",
        "apex": "warning",
    }
    assert bad["data set"]["text"].startswith(f"no folder {tmp_path / 'none'}; what exists is {tmp_path}")
    assert bad["run folder"]["text"].startswith("/proc/none cannot be written: ")
    assert "apex 0.9.10.dev0 is not NVIDIA's" in bad["apex"]["text"]
    assert content["machines"][next(iter(content["machines"]))]["dali"] == "2.2.0"


def stranger(folder: Path) -> Path:
    """Returns a path with a package of the name that NVIDIA's has, as the index's is: it must not be run."""
    place = folder / "stranger"
    for name, text in {
        "apex/__init__.py": "raise SystemExit('a stranger was run')",
        "apex-0.9.10.dev0.dist-info/METADATA": "Metadata-Version: 2.1\nName: apex\nVersion: 0.9.10.dev0\n",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def test_mistakes_of_the_command_line(tmp_path: Path) -> None:
    done = run("doctor", "rexnet_2.0", "--dta", "x", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("doctor.py: ") and "--data" in done.stderr


def test_processes_that_never_add_up_end_with_the_table() -> None:
    program = (
        "import time; from launch.checks.all_reduce import at_most\n"
        "with at_most(0.2, end=lambda finding: print(finding.level, finding.text)): time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "error the processes have not added up within 0 s\n"


@pytest.mark.slow
def test_everything_with_the_images_timed(data: Path, tmp_path: Path) -> None:
    done = run("doctor", "demo", "--data", data, cwd=tmp_path, REXNET_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = levels(done.stdout)
    assert found["reading"] == found["data set"] == "ok" and "all is well" in done.stdout
    assert "40 training images in 3 classes, 20 for validation in 3, indexed" in done.stdout


def test_a_data_set_as_it_comes(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    copy = shutil.copytree(data, tmp_path / "set")
    facts = {"drawn": False, "machines": 1, "max_bad": 0.5, "make_index": False}
    found = data_set.gather(copy, **facts)
    assert (found.classes, found.train, found.val) == (3, None, None) and not (tmp_path / "cache").exists()
    bad = next((copy / "train").rglob("*.jpg"))
    bad.write_bytes(b"no image")
    open_splits(copy, say=lambda line: None)
    found = data_set.gather(copy, **facts)
    assert found.train is not None and found.val is not None and found.identity is not None
    assert (found.train.images, found.train.unreadable, found.val.images, found.most_bad) == (40, 1, 20, 20)
    (copy / "val").rename(copy / "validation")
    assert "ln -s validation" in data_set.judge(data_set.gather(copy, **facts)).text


def test_several_machines_are_told_to_index_a_large_set_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.layout.SCANNED_BY_A_JOB", 10)
    facts = {"drawn": False, "max_bad": 0.0}
    one, two = (data_set.gather(data, machines=n, make_index=True, **facts) for n in (1, 2))
    assert data_set.judge(one).level == "warning" and data_set.judge(two).level == "error"
    assert f"launch/index.py {data}" in data_set.judge(two).text and list(tmp_path.iterdir()) == []


def test_a_folder_to_write_into(tmp_path: Path) -> None:
    found = disk.gather(tmp_path / "not" / "there", needed=1)
    assert (found.above, found.fault, found.links) == (tmp_path, None, True) and found.free > 1
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert disk.gather(tmp_path / "file" / "x", needed=1).fault == f"{tmp_path / 'file'} is a file"
    assert disk.judge_run(disk.gather(Path("/proc/none"), needed=1)).level == "error"


def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert not disk.gather(tmp_path, needed=1).links and list(tmp_path.iterdir()) == []


def test_a_decoder_that_crashes_is_a_finding() -> None:
    """The trial's own process fails here, as there is no such GPU; this one goes on."""
    import torch

    trial = decoding.Trial(local_rank=0, decode="gpu", window="auto")
    found = decoding.judge(trial.result(device=torch.device("cpu")))
    assert (
        found.level == "error" and "this run trains on a cpu" in found.text and "--decode cpu" in found.remedy
    )


def test_apex_of_nvidia_without_its_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "apex" / "optimizers" / "fused_sgd.py"
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    found = apex.gather()
    assert found.nvidias and "No module named 'amp_C'" in (found.fault or "")


def test_a_key_is_looked_at_only_where_there_may_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def reachable(server: str) -> bool:
        raise AssertionError("nothing is to be sent")

    found = tracking.gather(reachable=reachable)
    assert (found.key, found.mode, found.reachable) == ("none", "online", None)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tracking.gather(reachable=reachable).mode == "offline"
