"""What a run writes, shows and sends holds no secret, and no name that a browser would take for markup."""

import json
import subprocess
from pathlib import Path

import pytest

from launch.reporting import wandb_file
from pipeline import synthetic
from tests.launch.played_server import KEY, serving
from tests.launch.program import REPOSITORY, environment, run

TAG = "<img src=x onerror=alert(1)>"
SMALL = ("--epochs", 0.5, "--variant", "rexnet_0.2", "--image-size", 32, "--batch", 16, "--micro-batch", 8)
PASSWORD, TOKEN, CLOUD = "planted-password-1", "planted-token-2", "planted-key-3"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with a class folder whose name is a tag."""
    made = synthetic.make(tmp_path_factory.mktemp("secrets") / "set", classes=3, train=48, val=12)
    for split in ("train", "val"):
        first = min((made / split).iterdir())
        first.rename(first.with_name(TAG))
    return made


def surroundings(home: Path) -> dict[str, str]:
    """An environment with secrets in it, and a remote of this repository with a token in its address."""
    return {
        "HOME": str(home),
        "NETRC": str(home / "netrc"),
        "WANDB_MODE": "online",
        "WANDB_API_KEY": KEY,
        "AWS_SECRET_ACCESS_KEY": CLOUD,
        "DATABASE_URL": f"postgres://me:{PASSWORD}@host/db",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "remote.planted.url",
        "GIT_CONFIG_VALUE_0": f"https://me:{TOKEN}@example.com/rexnet.git",
    }


def test_no_secret_and_no_tag_leaves(data: Path, tmp_path: Path) -> None:
    out, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    remote = ["git", "ls-remote", "--get-url", "planted"]
    planted = subprocess.run(
        remote, cwd=REPOSITORY, env=environment(**surroundings(home)), capture_output=True
    )
    assert TOKEN.encode() in planted.stdout
    with serving() as server:
        known = surroundings(home) | {"WANDB_BASE_URL": server.url}
        done = run(
            "train", "demo", "--data", data, "--out", out, *SMALL, "--track-images", processes=2, **known
        )
        assert done.returncode == 0, done.stderr
        sent = server.received
    places = {str(p): p.read_bytes() for p in (*out.rglob("*"), *home.rglob("*")) if p.is_file()}
    places |= {"the terminal": (done.stdout + done.stderr).encode(), "what was sent": sent}
    (record,) = wandb_file.find(out)  # of rank 0 alone
    wanted = ("run.json", "metrics.jsonl", "log.txt", "report.html", "attempt.json", "images.png", "last.pt")
    assert {str(out / name) for name in wanted} | {str(record)} <= places.keys()
    assert len(record.read_bytes()) > 2000 and len(sent) > 2000
    for secret in (KEY, PASSWORD, TOKEN, CLOUD):
        found = [name for name, content in places.items() if secret.encode() in content]
        assert found == [], secret
    assert TAG.encode() not in places[str(out / "report.html")]
    address = f"{server.url}/team/rexnet/runs/"
    lines = [line for line in done.stdout.splitlines() if line.startswith("W&B: ")]
    assert len(lines) == 2 and lines[0] == lines[1] == done.stdout.splitlines()[-1]
    kept = json.loads((out / "run.json").read_text())["wandb"]
    assert kept == {"id": kept["id"], "mode": "online", "url": address + kept["id"]}
    assert lines[0] == f"W&B: {kept['url']}"
