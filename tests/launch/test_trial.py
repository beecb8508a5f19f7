"""One attempt as one node sees it, with a shell script in the trainer's place. No cluster."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from launch.history import History
from launch.seat import Seat
from launch.trial import RunEnded, Trial

STOPS = """
trap 'echo "$0" >"$REXNET_ATTEMPT"; exit 0' USR1
touch ready
while :; do sleep 0.05; done
"""
SAYS = 'echo "$0" >"$REXNET_ATTEMPT"; exit 1'


def record(state: str, step: int | None = None) -> str:
    return json.dumps({"state": state, "step": step, "message": "as it is"})


def trial(folder: Path, *, node: int = 0) -> Trial:
    """An attempt on this machine, after those that `folder` knows."""
    seat = Seat(job="7", attempt=None, hosts=("here",), node=node, rendezvous="here:1", folder=folder)
    return Trial(seat=seat, history=History(folder, "7"))


def start(trial: Trial, script: str, word: str, *, folder: Path) -> None:
    assert trial.begin()
    trial.start(["bash", "-c", script, word], folder=str(folder), environment=dict(os.environ))


def test_asked_it_waits_for_the_save_and_decides_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = trial(tmp_path)
    start(attempt, STOPS, record("requeue", 4), folder=tmp_path)
    while not (tmp_path / "ready").exists():
        pass
    attempt.ask()
    attempt.wait()
    attempt.wait()  # as a signal's handler does within a wait
    decision = attempt.conclude({signal.SIGUSR2})
    assert (decision.action, decision.reason) == ("requeue", "to go on from step 4")
    attempt.ask()  # nobody is there any more
    assert attempt.conclude(set()) is decision
    assert capsys.readouterr().out.count("queued again") == 1


@pytest.mark.parametrize(
    ("state", "told", "action", "code"),
    [
        ("done", set(), "end", 0),
        ("user-error", set(), "end", 2),
        ("fault", set(), "end", 1),
        ("requeue", set(), "requeue", 0),
        ("requeue", {signal.SIGTERM}, "end", 1),  # on this machine nobody but the user says so
    ],
)
def test_what_follows_an_end(state: str, told: set[int], action: str, code: int, tmp_path: Path) -> None:
    attempt = trial(tmp_path)
    start(attempt, SAYS, record(state, 4), folder=tmp_path)
    attempt.wait()
    decision = attempt.conclude(told)
    assert (decision.action, decision.code) == (action, code)


def test_two_attempts_without_a_new_checkpoint_are_enough(tmp_path: Path) -> None:
    decisions = []
    for number in range(3):
        attempt = trial(tmp_path)
        assert attempt.attempt == number
        start(attempt, SAYS, record("requeue", 4), folder=tmp_path)
        decisions.append(attempt.conclude(set()))
    assert [decision.action for decision in decisions] == ["requeue", "requeue", "end"]
    assert "attempts 1 and 2 made no new checkpoint" in decisions[-1].reason


def test_another_node_decides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attempt = trial(tmp_path, node=1)
    start(attempt, SAYS, record("requeue", 4), folder=tmp_path)
    assert attempt.conclude(set()).code == 1
    assert not attempt.history.file.exists() and capsys.readouterr().out == ""


def test_a_job_that_slurm_does_not_queue_again_says_so(tmp_path: Path) -> None:
    attempt = trial(tmp_path)
    start(attempt, SAYS, record("requeue", 4), folder=tmp_path)
    assert attempt.conclude(set()).action == "requeue" and attempt.again
    with pytest.raises(RunEnded, match="did not queue job 7 again"):
        attempt.queue_again(lambda: subprocess.run(["false"], check=True))


def test_after_an_error_of_the_doctors_nothing_is_trained(tmp_path: Path) -> None:
    attempt = trial(tmp_path)
    assert attempt.begin()
    script = '[ "$REXNET_PROGRAM" = doctor.py ] && [ -z "$REXNET_ATTEMPT" ] && exit 3'
    place = {"folder": str(tmp_path), "environment": {**os.environ, "STAGE": "/scratch"}}
    assert attempt.examine(["bash", "-c", script], **place) == 3
    attempt.give_up()
    decision = attempt.conclude(set())
    assert (decision.action, decision.code) == ("end", 2) and "DOCTOR=no" in decision.reason
    assert trial(tmp_path).attempt == 0  # what was not trained counts for nothing
