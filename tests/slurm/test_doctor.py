"""The doctor on the machines of a job, started as the scripts start the trainer."""

import shutil
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_one_table_for_two_machines(
    cluster: Cluster, real_checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    launch = real_checkout / "launch"
    shutil.copy(launch / "doctor.py", launch / "train.py")
    number = cluster.submit(
        *("slurm/rexnet_2.0.sh", "--data", str(tmp_path / "none"), "--quick"),
        cwd=real_checkout,
        env=environment | {"REXNET_CACHE": str(tmp_path / "cache")},
    )
    cluster.finish(number)
    log = (real_checkout / f"rexnet_2.0-{number}.out").read_text()
    assert log.count("check      result   what was found") == 1, log
    assert "machine    ok       2 machines (node1, node2), alike: " in log
    assert "over gloo between 2 processes on 2 machines" in log
    assert "GPU        warning  the batch system gave the job 8 GPUs here, but there is none" in log
    assert f"data set   error    no folder {tmp_path / 'none'}" in log and "(node1)" not in log
    assert "1 error, 1 warning; with an error a run would not train" in log
    assert not list(real_checkout.rglob(".rexnet-doctor-*"))
