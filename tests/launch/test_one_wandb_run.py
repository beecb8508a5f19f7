"""A training that is stopped and started again is one W&B run, to the last metric."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.reporting import wandb_file
from pipeline import synthetic
from tests.launch.played_server import KEY, serving
from tests.launch.processes import log_of, shows, training, until
from tests.launch.program import environment, records

FLAGS = ("--batch", 16, "--micro-batch", 8, "--image-size", 32, "--variant", "rexnet_0.2", "--lr", 0.05)
FLAGS = (*FLAGS, "--log-every", 2, "--epochs", 4)


@pytest.mark.slow
def test_offline_pieces_of_a_requeued_training_become_one_run(tmp_path: Path) -> None:
    data = synthetic.make(tmp_path / "set", classes=4, train=160, val=16)
    folder, offline = tmp_path / "run", {"WANDB_MODE": "offline", "HOME": str(tmp_path)}
    with training(folder, "--data", data, *FLAGS, **offline) as started:
        until(shows(folder, "step 12/"), started=started)
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
    first = log_of(folder).read_text().splitlines()
    with training(folder, "--data", data, *FLAGS, **offline) as started:
        assert started.wait(120) == 0
    last = log_of(folder).read_text().splitlines()

    facts = json.loads((folder / "run.json").read_text())
    assert facts["restarts"] == 1 and facts["wandb"]["mode"] == "offline"
    pieces = [wandb_file.read(file) for file in wandb_file.find(folder)]
    assert [(piece.id, piece.exit_code) for piece in pieces] == [
        (facts["wandb"]["id"], 1),
        (facts["wandb"]["id"], 0),
    ]
    assert first[-1] == last[-1]
    command = re.fullmatch(r"W&B: this run is kept offline; to upload it: (wandb sync .*)", last[-1])
    assert command
    with serving() as server:
        account = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url, "HOME": str(tmp_path)}
        account |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        env = {k: v for k, v in environment(**account).items() if k != "WANDB_MODE"}
        subprocess.run(["bash", "-c", command[1]], env=env, check=True, timeout=60, cwd="/")
        assert server.ids == {facts["wandb"]["id"]}
        steps = [line["step"] for line in records(folder) if line["kind"] != "event"]
        assert [row["step"] for row in server.history] == steps and steps[-1] == 40
        assert server.summary["state"] == "done" and server.summary["restarts"] == 1
