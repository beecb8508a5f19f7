"""launch/dashboard.py as it is called."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from launch.track.weights_and_biases import WeightsAndBiases
from tests.launch.played_server import KEY, serving

PROGRAM = Path(__file__).parents[2] / "launch" / "dashboard.py"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody without a W&B account."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    return kept | {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path)}


def dashboard(*arguments: str, cwd: Path, env: dict[str, str]) -> Any:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def make_run(folder: Path, *, official: bool) -> None:
    """A run's folder with an offline W&B file of two attempts."""
    folder.mkdir(parents=True)
    facts = {"recipe": "r", "identity": "1", "run": {}, "wandb": {"id": folder.name[:4]}}
    facts["variant"] = "rexnet_1.0"
    for epoch, acc1 in ((1.0, 50.0), (2.0, 60.5)):
        time.sleep(1 - time.time() % 1)  # wandb names a piece by the second in which it starts
        tracker = WeightsAndBiases(folder, facts=facts, say=pytest.fail)
        record = {"kind": "eval", "weights": "ema", "step": 1, "epoch": epoch, "images_seen": 1, "time": 1.0}
        figures = {"eval/acc1": acc1, "eval/acc5": 80.0}
        if official:
            figures |= {"official/acc1": 77.9, "official/acc5": 93.9, "gap/acc1": acc1 - 77.9}
        tracker.write(record | figures)
        tracker.close(state="done")


def test_dry_run_needs_neither_key_nor_network(
    tmp_path: Path, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    make_run(tmp_path / "runs" / "imagenet-1", official=True)
    make_run(tmp_path / "runs" / "demo-1", official=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # whoever asks the network fails
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        env = home | {"WANDB_BASE_URL": nowhere, "HTTPS_PROXY": nowhere}
        done = dashboard("--dry-run", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    head, demo, imagenet, *notes = (line.split() for line in done.stdout.splitlines())
    assert head == [
        "run",
        "attempts",
        "epoch",
        "eval/acc1",
        "official/acc1",
        "gap/acc1",
        "eval/acc5",
        "official/acc5",
    ]
    assert demo == ["demo-1", "2", "2.0", "60.50", "-", "-", "80.00", "-"]
    assert imagenet == ["imagenet-1", "2", "2.0", "60.50", "77.90", "-17.40", "80.00", "93.90"]
    assert [note[-1] for note in notes] == ["runs/dashboard.json", "runs/dashboard-report.json"]
    for note in notes:
        built = json.loads((tmp_path / note[-1]).read_text())
        assert built["displayName"] == "ReXNet against the published accuracy"


def test_without_any_run(tmp_path: Path, home: dict[str, str]) -> None:
    done = dashboard("--dry-run", "--spec", "spec.json", cwd=tmp_path, env=home)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3
    assert (tmp_path / "spec.json").exists()


def test_workspace_and_report_reach_the_server(tmp_path: Path, home: dict[str, str]) -> None:
    make_run(tmp_path / "runs" / "imagenet-1", official=True)
    with serving() as server:
        account = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        done = dashboard(cwd=tmp_path, env=home | account)
        assert done.returncode == 0, done.stderr
        space, report = server.views
        assert KEY.encode() not in server.received
    assert (space["type"], report["type"]) == ("project-view", "runs")
    for view in (space, report):
        assert (view["entityName"], view["projectName"]) == ("team", "rexnet")
        for metric in ("eval/acc1", "official/acc1", "earlier/acc1", "speed/data_wait", "health/bad_images"):
            assert f'"{metric}"' in view["spec"], metric
        assert '"Run Comparer"' in view["spec"]
    tables = [b["content"] for b in json.loads(report["spec"])["blocks"] if b["type"] == "markdown-block"]
    assert "| rexnet_1.0 | 1 | 60.50 | 80.00 | 77.90 | 93.90 | -17.40 | 72.40 |" in tables[0]
    assert "| rexnet_3.0 | not yet run | - | - | 82.80 | 96.20 | - | 77.31 |" in tables[0]
    assert "| imagenet-1 | rexnet_1.0 | 2 | 2.0 | 60.50 | 77.90 | -17.40 | 80.00 | 93.90 |" in tables[1]
    first, second = done.stdout.splitlines()[-2:]
    assert first.startswith(f"workspace: {server.url}/team/rexnet?nw=")
    assert second.startswith(f"report: {server.url}/team/rexnet/reports/") and second.endswith("--view2")


def test_saving_without_a_key_says_what_to_set(tmp_path: Path, home: dict[str, str]) -> None:
    done = dashboard(cwd=tmp_path, env=home)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "WANDB_API_KEY" in done.stderr and "--dry-run" in done.stderr


def test_saving_without_a_network_says_so(tmp_path: Path, home: dict[str, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = dashboard(cwd=tmp_path, env=home | {"WANDB_BASE_URL": nowhere, "WANDB_API_KEY": "0" * 40})
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{nowhere} cannot be reached" in done.stderr


def test_a_folder_that_is_not_there(tmp_path: Path, home: dict[str, str]) -> None:
    done = dashboard("runs/none", "--dry-run", cwd=tmp_path, env=home)
    assert done.returncode == 2 and "runs/none is not a folder" in done.stderr
