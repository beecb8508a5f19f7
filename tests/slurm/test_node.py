"""What starts torchrun on each node, without a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launch.address import address_towards
from tests.slurm.conftest import REPOSITORY

NODE = REPOSITORY / "slurm" / "node.sh"
# Options that node.sh may use: torchrun of torch 2.10, V100's, knows them, and later ones do.
OPTIONS = {"local-addr", "max-restarts", "nnodes", "nproc-per-node"} | {
    f"rdzv-{what}" for what in ("backend", "conf", "endpoint", "id")
}
# Stands in for `python -m torch.distributed.run`: notes its arguments, and has one trainer.
TORCHRUN = f"""#!{sys.executable}
import json, os, signal, subprocess, sys, time, pathlib
notes = pathlib.Path(os.environ["NOTES"])
if sys.argv[1].endswith("address.py"):
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
if sys.argv[1] == "trainer":
    signal.signal(signal.SIGUSR1, lambda *_: ((notes / "asked").touch(), sys.exit(0)))
    (notes / "ready").touch()
    while True:
        time.sleep(0.02)  # pause() would miss a signal that comes just before it
(notes / "arguments").write_text(json.dumps([sys.argv[1:], dict(os.environ)]))
time.sleep(float(os.environ.get("LOADING", 0)))
sys.exit(subprocess.run([sys.argv[0], "trainer"]).returncode)
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    path = tmp_path / "a python"
    path.write_text(TORCHRUN)
    path.chmod(0o755)
    return path


@contextmanager
def started(
    python: Path, *arguments: str, env: dict[str, str] | None = None, at: str = "ready"
) -> Iterator[subprocess.Popen[str]]:
    """The script, once the trainer is ready, or torchrun has noted its arguments."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    with subprocess.Popen(
        ["bash", str(NODE), str(python), *arguments],
        env={**clean, "NOTES": str(python.parent), **(env or {})},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        end = time.monotonic() + 20
        while not (python.parent / at).exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_reaches_the_trainers_alone(python: Path, number: signal.Signals) -> None:
    """Who sends USR1 or USR2 to every process of a step does not end torchrun by it."""
    with started(python, "2", "8", "node1:1", "id", "rexnet_1.0") as process:
        if number != signal.SIGTERM:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            os.kill(int(children.read_text()), number)
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
    assert (python.parent / "asked").exists()


def test_before_there_is_a_trainer_nothing_is_waited_for(python: Path) -> None:
    with started(python, "2", "8", "node1:1", "id", "demo", env={"LOADING": "60"}, at="arguments") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) != 0
    assert not (python.parent / "ready").exists()


def test_the_command_of_a_node(python: Path) -> None:
    arguments = ("2", "8", "node1:12345", "77.0", "rexnet_1.0", "--note", "two words; $HOME")
    with started(python, *arguments, env={"SLURM_NODEID": "1", "OMP_NUM_THREADS": "3"}) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    told, environment = json.loads((python.parent / "arguments").read_text())
    assert told[:2] == ["-m", "torch.distributed.run"]
    flags = {"--nnodes=2", "--nproc-per-node=8", "--rdzv-endpoint=node1:12345", "--rdzv-id=77.0"}
    assert flags | {"--rdzv-conf=is_host=0,read_timeout=300"} <= set(told)
    trainer = str(REPOSITORY / "launch" / "train.py")
    assert told[-4:] == [trainer, "rexnet_1.0", "--note", "two words; $HOME"]
    assert {word.removeprefix("--").partition("=")[0] for word in told[2:-4]} <= OPTIONS
    assert not [word for word in told if "local-addr" in word]  # nobody knows the way to node1 here
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "120"


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_others_are_told_an_address_that_reaches_this_node(python: Path, nodes: int) -> None:
    with started(python, str(nodes), "8", "192.0.2.1:12345", "77.0", "rexnet_1.0") as process:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    told, _ = json.loads((python.parent / "arguments").read_text())
    found = [word for word in told if word.startswith("--local-addr=")]
    assert found == ([f"--local-addr={address_towards('192.0.2.1')}"] if nodes == 2 else [])


def test_too_few_arguments() -> None:
    done = subprocess.run(["bash", str(NODE), "python"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "node.sh PYTHON NODES PROCESSES HOST:PORT RUN_ID" in done.stderr
