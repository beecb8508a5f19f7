"""launch/submit.py --cluster local: on this machine, without Slurm. The trainer is a stand-in."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.program import until

HERE = Path(__file__).resolve().parent


def start(checkout: Path, *arguments: str, cwd: Path, **variables: str) -> tuple[int, Path]:
    """Returns the process to kill, and the log."""
    shutil.copy(HERE / "stand_in.py", checkout / "launch" / "train.py")
    program = [sys.executable, str(checkout / "launch" / "submit.py"), "demo", "--cluster", "local"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PROCESSES": "1", "DOCTOR": "no"} | variables
    done = subprocess.run(
        [*program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (number,) = re.findall(r"^cancel  kill (\d+) ", done.stdout, re.MULTILINE)
    (log,) = re.findall(r"^  log +(.+)$", done.stdout, re.MULTILINE)
    return int(number), Path(log)


def says(log: Path, *words: str) -> bool:
    text = log.read_text() if log.exists() else ""
    return all(word in text for word in words)


def gone(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_run_sees_the_gpus_of_the_shell(real_checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    number, log = start(real_checkout, "--", "--out", str(out), cwd=tmp_path, CUDA_VISIBLE_DEVICES="5")
    until(lambda: gone(number))
    assert says(log, f"[job {number}, attempt 0] ended: done, step 1") and not says(log, "Traceback")
    assert '"gpus": "5"' in (out / "attempt0-rank0.json").read_text()


@pytest.mark.slow
def test_several_runs_follow_each_other(real_checkout: Path, tmp_path: Path) -> None:
    number, log = start(real_checkout, "--seeds", "0,1", cwd=tmp_path, STAND_IN_OUT=str(tmp_path / "out"))
    until(lambda: gone(number))
    text = log.read_text()
    ends = re.findall(rf"\[job {number}, attempt 0\] ended: done, step 1", text)
    assert len(ends) == 2 and text.index("demo --seed 0") < text.index("demo --seed 1"), text


@pytest.mark.slow
def test_killed_it_saves_and_stays_ended(real_checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    number, log = start(real_checkout, "--", "--out", str(out), cwd=tmp_path, STAND_IN_STEPS="600")
    until((out / "attempt0-rank0.ready").exists)
    os.kill(number, signal.SIGTERM)
    until(lambda: gone(number))
    assert 0 < int((out / "step-rank0").read_text()) < 600
    assert says(log, "not queued again: the job was ended from outside") and not says(log, "Traceback")


@pytest.mark.slow
def test_sent_submitits_signal_it_saves_and_goes_on(real_checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    number, log = start(real_checkout, "--", "--out", str(out), cwd=tmp_path, STAND_IN_STEPS="100")
    until((out / "attempt0-rank0.ready").exists)
    (task,) = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    os.kill(int(task), signal.SIGUSR2)
    until(lambda: gone(number))
    assert says(log, "attempt 0] queued again: to go on from step", "attempt 1] ended: done, step 100")
