"""One writer per folder: who holds it is named, the dead are replaced, and one of many wins."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from launch.claim import STALE, Claim, Taken
from launch.engine.faults import Superseded
from tests.launch.program import REPOSITORY

CONTENDER = f"""
import sys, time
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from launch.claim import Claim, Taken
while time.time() < float(sys.argv[2]):
    pass
try:
    claim = Claim(Path(sys.argv[1]))
except Taken as taken:
    print(taken)
else:
    print("won", flush=True)
    sys.stdin.read()
"""


def contenders(folder: Path, count: int) -> list[subprocess.Popen[str]]:
    start = str(time.time() + 0.5)
    command = [sys.executable, "-c", CONTENDER, str(folder), start]
    pipe = subprocess.PIPE
    return [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]


def held_by(folder: Path, *, silence: float = 0.0, **facts: Any) -> Path:
    """A folder claimed by this process on another machine, with what else is told."""
    folder.mkdir()
    Claim(folder).close()
    claim = Claim(folder)
    (file,) = folder.glob("lock.*")
    content = json.loads(file.read_text())
    claim.close()
    file.write_text(json.dumps(content | {"machine": "another", "host": "node7"} | facts))
    then = time.time() - silence
    os.utime(file, (then, then))
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_holder_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with closing(Claim(tmp_path / "run")):
        with pytest.raises(
            Taken, match=rf"trained by process {os.getpid()} on \S+, last heartbeat 0 s ago; stop"
        ):
            Claim(tmp_path / "run")
        assert names(tmp_path / "run") == ["lock.1"]
    assert names(tmp_path / "run") == []


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_that_start_at_once_one_wins(tmp_path: Path, stale: bool) -> None:
    folder = tmp_path / "run"
    if stale:
        held_by(folder, silence=STALE + 30)
    started = contenders(folder, 6)
    firsts = [process.stdout.readline().strip() for process in started if process.stdout]
    assert firsts.count("won") == 1, firsts
    winner = started[firsts.index("won")]
    assert all(f"process {winner.pid} on" in line for line in firsts if line != "won")
    assert names(folder) == ["lock.2" if stale else "lock.1"]
    for process in started:
        process.communicate()


def test_after_sigkill_on_this_machine_nobody_waits(tmp_path: Path) -> None:
    (killed,) = contenders(tmp_path / "run", 1)
    assert killed.stdout is not None and killed.stdout.readline() == "won\n"
    killed.kill()
    killed.communicate()
    start = time.monotonic()
    with closing(Claim(tmp_path / "run")) as claim:
        assert time.monotonic() - start < 1
        assert claim.earlier is not None and str(claim.earlier).startswith(f"process {killed.pid} on ")
        assert names(tmp_path / "run") == ["lock.2"]


def test_another_process_with_the_pid_of_the_dead_is_not_the_holder(tmp_path: Path) -> None:
    with closing(Claim(tmp_path / "run")):
        (file,) = (tmp_path / "run").glob("lock.*")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"started": "1"}))
        Claim(tmp_path / "run").close()


def test_a_holder_elsewhere_counts_as_dead_after_a_minute_of_silence(tmp_path: Path) -> None:
    held_by(tmp_path / "fresh", silence=STALE - 10, job="7")
    with pytest.raises(Taken, match=r"process \d+ on node7, job 7, last heartbeat 5\d s ago"):
        Claim(tmp_path / "fresh")
    held_by(tmp_path / "stale", silence=STALE + 5)
    with closing(Claim(tmp_path / "stale")) as claim:
        assert claim.earlier is not None and "on node7, last heartbeat 65 s ago" in str(claim.earlier)


def test_a_requeued_job_does_not_wait_for_its_earlier_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    held_by(tmp_path / "same", job="7", attempt="1")
    with pytest.raises(Taken):
        Claim(tmp_path / "same")
    held_by(tmp_path / "earlier", job="7", attempt="0")
    Claim(tmp_path / "earlier").close()


def test_a_heartbeat_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.claim.BEAT", 0.05)
    with closing(Claim(tmp_path / "run")) as claim:
        os.utime(claim.file, (0, 0))
        time.sleep(0.3)
        assert time.time() - claim.file.stat().st_mtime < 1
        claim.check()


@pytest.mark.parametrize("finished", [False, True])
def test_whoever_comes_back_after_it_was_replaced_learns_it(tmp_path: Path, finished: bool) -> None:
    claim = Claim(tmp_path / "run")
    claim.check()
    silenced = json.loads(claim.file.read_text()) | {"machine": "another"}
    claim.file.write_text(json.dumps(silenced))
    os.utime(claim.file, (0, 0))
    other = Claim(tmp_path / "run")
    if finished:
        other.close()
    with pytest.raises(Superseded, match=r"another process has taken .* over"):
        claim.check()
    claim.close()
    assert names(tmp_path / "run") == ([] if finished else ["lock.2"])
    other.close()


def test_a_folder_that_was_removed_is_not_lost_to_another(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with closing(Claim(folder)) as claim:
        shutil.rmtree(folder)
        claim.check()
        blocker = tmp_path / "blocker"
        blocker.mkdir()  # so that the new folder cannot have the old one's number
        folder.mkdir()
        if folder.stat().st_ino != claim._inode:
            claim.check()
            assert claim.file.exists()
