"""Submitting with a site's settings, from wherever a user stands."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.synthetic import make
from tests.cluster.cluster import Cluster
from tests.slurm.conftest import REPOSITORY
from tests.slurm.test_job import ranks


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make(tmp_path / "images", train=20, val=10)


def write_site(checkout: Path, **settings: str) -> None:
    lines = [f"export {name}='{value}'" for name, value in settings.items()]
    (checkout / "slurm" / "site").write_text("\n".join(lines) + "\n")


def test_the_example_sets_nothing_and_names_what_counts() -> None:
    example = REPOSITORY / "slurm" / "site.example"
    shown = subprocess.run(
        ["env", "-i", "bash", "-c", 'source "$1"; env', "bash", str(example)], capture_output=True, text=True
    )
    assert {line.partition("=")[0] for line in shown.stdout.splitlines()} <= {"PWD", "SHLVL", "_"}
    named = set(re.findall(r"^# export (\w+)=", example.read_text(), re.MULTILINE))
    assert {"SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_TIMELIMIT"} < named
    assert {"DATA", "ENV", "CONTAINER", "STAGE", "IFNAME"} < named
    ignored = subprocess.run(["git", "check-ignore", "-q", "slurm/site"], cwd=REPOSITORY)
    assert ignored.returncode in (0, 128)  # 128: no git repository


def submit_without_slurm(
    checkout: Path, tmp_path: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """With an sbatch that shows what it is called with."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "sbatch").write_text(
        '#!/bin/bash\nprintf "%s|" "$PWD" "$@" "$DATA" "$SBATCH_ACCOUNT" >"$CALLED"\necho 7\n'
    )
    (programs / "sbatch").chmod(0o755)
    drop = ("SLURM_", "SBATCH_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return subprocess.run(
        ["bash", str(checkout / "slurm" / "rexnet_2.0.sh"), *arguments],
        cwd=tmp_path,
        env={
            **clean,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLED": str(tmp_path / "called"),
            **(env or {}),
        },
        capture_output=True,
        text=True,
    )


def test_submits_itself_with_options_before_and_flags_behind(
    checkout: Path, images: Path, tmp_path: Path
) -> None:
    known = {"REXNET_CACHE": "/scratch", "HF_ENDPOINT": "https://mirror"}
    write_site(checkout, DATA=str(images), SBATCH_ACCOUNT="vision", **known)
    done = submit_without_slurm(checkout, tmp_path, "--nodes=4", "--", "--seed", "1", "--note", "a b")
    assert done.returncode == 0, done.stderr
    script = checkout / "slurm" / "rexnet_2.0.sh"
    called = (tmp_path / "called").read_text().split("|")
    assert called[:-1] == [
        *(str(tmp_path), "--parsable", "--nodes=4", str(script), "--seed", "1", "--note", "a b"),
        *(str(images), "vision"),
    ]
    told = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert told["job"] == "7" and told["cancel"] == "scancel 7" and told["state"] == "squeue -j 7"
    assert told["log"] == f"{tmp_path}/rexnet_2.0-7.out" and told["log"] in told["follow"]


@pytest.mark.parametrize(
    ("site", "word"),
    [
        ("export DATA=/nonexistent", "DATA=/nonexistent is no folder here"),
        ("export DATA=/usr", "DATA=/usr holds no train/ and val/"),
        ("export SBATCH_TIME=1:00", "line 1: nobody reads SBATCH_TIME. Names that count: DATA"),
        ("# no\nexport DATASET=/x", "line 2: nobody reads DATASET; did you mean DATA?"),
        ("export If_Name=ib0", "line 1: nobody reads If_Name; did you mean IFNAME?"),
        ("export REXNET_CACHES=/x", "line 1: nobody reads REXNET_CACHES; did you mean REXNET_CACHE?"),
        ("export REXNET_HOME=/x", "line 1: nobody reads REXNET_HOME; did you mean REXNET_CACHE?"),
        ("HTTPS_PROXY=x", "line 1: HTTPS_PROXY does not reach the job without the word export"),
        ("DATA=/x", "line 1: DATA does not reach the job without the word export"),
        ("export DATA=$IMAGES ENV=/nonexistent", "ENV=/nonexistent has no bin/python"),
        ("export DATA=$IMAGES CONTAINER=/nonexistent.sif", "CONTAINER=/nonexistent.sif is not there"),
        ("export DATA=$IMAGES STAGE=scratch", "STAGE=scratch is no absolute path"),
        ("export DATA=$IMAGES IFNAME='ib 0'", "IFNAME=ib 0 is no name of a network card"),
        ("export DATA=$IMAGES PROCESSES=0", "PROCESSES=0 is no number"),
        ("export SBATCH_ACCOUNT=vision", "no data set: DATA=DIR in slurm/site, or ... -- --data DIR"),
        ("export DATA='", "unexpected EOF"),
    ],
)
def test_what_is_wrong_is_said_before_anything_waits(
    checkout: Path, images: Path, tmp_path: Path, site: str, word: str
) -> None:
    (checkout / "slurm" / "site").write_text(site + "\n")
    done = submit_without_slurm(checkout, tmp_path, env={"IMAGES": str(images), "ENV": "", "DATA": ""})
    assert done.returncode == 2
    assert word in done.stderr
    assert not (tmp_path / "called").exists()


READ_BY_OTHERS = (
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE"),
    *("UCX_TLS", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "MALLOC_ARENA_MAX", "GOMP_SPINCOUNT", "NCCL_DEBUG"),
)


def test_what_others_read_is_left_to_them(checkout: Path, images: Path, tmp_path: Path) -> None:
    write_site(checkout, DATA=str(images), **dict.fromkeys(READ_BY_OTHERS, "1"))
    done = submit_without_slurm(checkout, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("slurm/")]


def test_what_is_unknown_is_named_and_passed_on(checkout: Path, images: Path, tmp_path: Path) -> None:
    lines = [f"root='{images.parent}'", "export DATA=$root/images", "export WNADB_MODE=offline"]
    (checkout / "slurm" / "site").write_text("\n".join(lines) + "\n")
    done = submit_without_slurm(checkout, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text().split("|")[-3] == str(images)
    first, second = [line for line in done.stdout.splitlines() if line.startswith("slurm/")]
    assert "line 1: root does not reach the job without the word export" in first
    assert "line 3: WNADB_MODE is no setting of these scripts, and goes to the job as it is" in second


def test_without_a_site_file_it_says_so(checkout: Path, images: Path, tmp_path: Path) -> None:
    done = submit_without_slurm(checkout, tmp_path, env={"DATA": str(images)})
    assert done.returncode == 0
    assert "cp slurm/site.example slurm/site" in done.stdout
    shutil.rmtree(images / "val")
    assert submit_without_slurm(checkout, tmp_path, "--", "--data=/x", env={"DATA": ""}).returncode == 0


def outputs(text: str) -> dict[str, str]:
    return dict(line.split(None, 1) for line in text.splitlines() if not line.startswith("slurm/"))


@pytest.mark.slurm
def test_an_account_from_the_site_file_by_hand_and_by_itself(
    cluster: Cluster, checkout: Path, environment: dict[str, str], images: Path, tmp_path: Path
) -> None:
    """On a partition that refuses jobs without an account; from the home folder, the checkout and `/`."""
    home = tmp_path / "home"
    home.mkdir()
    script = str(checkout / "slurm" / "rexnet_2.0.sh")
    settings = {"SBATCH_PARTITION": "billed", "DATA": str(images), **environment}
    write_site(checkout, **settings)
    with pytest.raises(RuntimeError, match="partition billed wants an account"):
        cluster.call("bash", script, "--", "--out", str(tmp_path / "out"), cwd=checkout)
    write_site(checkout, **settings, SBATCH_ACCOUNT="vision")
    by_hand = 'source slurm/site && sbatch --parsable "$@"'
    out = [tmp_path / f"out{i}" for i in range(3)]
    cluster.call("bash", script, "--nodes=1", "--", "--out", str(out[0]), cwd=home)
    first = cluster.call(
        *("bash", "-c", by_hand, "bash", "--nodes=1", "slurm/rexnet_2.0.sh", "--out", str(out[1])),
        cwd=checkout,
    )
    third = outputs(cluster.call("bash", script, "--nodes=1", "--", "--out", str(out[2]), cwd=Path("/")))
    for number, folder in ((int(first) - 1, home), (int(first), checkout), (int(third["job"]), checkout)):
        record = cluster.finish(number)
        log = folder / f"rexnet_2.0-{number}.out"
        assert record["JobState"] == "COMPLETED", log.read_text()
        assert (record["Account"], record["Partition"]) == ("vision", "billed")
    assert third["log"] == str(checkout / f"rexnet_2.0-{third['job']}.out")
    for folder in out:
        (seen,) = ranks(folder)
        assert seen["arguments"][-2:] == ["--data", str(images)]


@pytest.mark.slurm
def test_a_flag_without_the_separator_is_explained(
    cluster: Cluster, checkout: Path, images: Path, environment: dict[str, str]
) -> None:
    write_site(checkout, DATA=str(images))
    with pytest.raises(RuntimeError, match="what stands before -- is for sbatch"):
        cluster.call("bash", "slurm/rexnet_2.0.sh", "--seed", "1", cwd=checkout)
