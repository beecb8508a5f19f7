"""What becomes of a job after an attempt, and what is remembered of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.history import History, upload_command
from launch.requeue import Decision, Ending, decide, nodes_to_avoid, resume

REPOSITORY = Path(__file__).resolve().parents[2]


def ending(**facts) -> Ending:
    return Ending(**{"attempt": 0, "advanced": True, **facts})


@pytest.mark.parametrize(
    ("facts", "action", "code", "reason"),
    [
        ({"state": "done"}, "end", 0, "finished"),
        # Finished although Slurm took the nodes, or somebody cancelled it, in the same moment.
        ({"state": "done", "terminated": True, "preempted": True}, "end", 0, "finished"),
        ({"state": "user-error", "status": 1}, "end", 2, "change first"),
        ({"state": "fault", "status": 1}, "end", 1, "would end so again"),
        ({"state": "requeue", "step": 7}, "requeue", 0, "to go on from step 7"),
        ({"state": "requeue", "step": 7, "warned": True}, "requeue", 0, "to go on from step 7"),
        ({"state": "requeue", "step": 7, "terminated": True}, "end", 1, "ended from outside"),
        ({"preempted": True, "status": 143}, "requeue", 0, "preempted before"),
        ({"state": "fault", "preempted": True, "status": 1}, "requeue", 0, "preempted before"),
        ({"warned": True, "terminated": True}, "end", 1, "take a smaller --log-every"),
        ({"preempted": True, "terminated": True}, "end", 1, "ended from outside"),
        ({"warned": True, "status": 143}, "end", 143, "take a smaller --log-every"),
        ({"warned": True, "status": 0}, "end", 1, "take a smaller --log-every"),
        ({"status": 0}, "end", 0, "said nothing"),
        ({"status": 137}, "end", 137, "said nothing"),
        ({"terminated": True, "restarted": True}, "requeue", 0, "by Slurm itself"),
    ],
)
def test_one_attempt(facts: dict, action: str, code: int, reason: str) -> None:
    decision = decide([ending(**facts)])
    assert (decision.action, decision.code) == (action, code)
    assert reason in decision.reason


def test_two_attempts_in_a_row_without_a_new_checkpoint_are_the_last() -> None:
    asks = {"state": "requeue", "step": 5}
    one = ending(attempt=3, **asks, advanced=False)
    two = ending(attempt=4, **asks, advanced=False)
    assert decide([one]).action == "requeue"
    assert decide([one, ending(attempt=4, **asks)]).action == "requeue"
    assert decide([ending(attempt=2, **asks), one]).action == "requeue"
    last = decide([ending(attempt=2, **asks), one, two])
    assert (last.action, last.code) == ("end", 1)
    assert "attempts 3 and 4 made no new checkpoint" in last.reason
    # Preemptions are nobody's fault, however many there are before the first checkpoint.
    taken = [ending(attempt=k, preempted=True, status=143, advanced=False) for k in range(4)]
    assert decide(taken).action == "requeue"
    assert decide([one, *taken]).action == "requeue"
    assert decide([one, *taken, two]).code == 1
    # An attempt that has ended well is not held against.
    assert decide([one, ending(state="done", advanced=False)]).code == 0


def test_a_node_that_three_attempts_failed_on_is_avoided() -> None:
    failed = [ending(attempt=k, state="requeue", step=k, blamed=("node2",)) for k in range(3)]
    others = [ending(attempt=k, state="requeue", step=k) for k in range(3)]
    assert decide(failed[:2]).avoid == ()
    assert decide(failed).avoid == ("node2",)
    assert decide([failed[0], others[0], failed[1], others[1], failed[2]]).avoid == ("node2",)
    assert decide(failed, avoided=["node2"]).avoid == ()
    assert nodes_to_avoid([ending(blamed=("a", "a")), ending(blamed=("a", "b"))]) == ()
    # Slurm starts a job again by itself: then it is seen only at the next start.
    again = resume(failed, nodes=["node1", "node2"])
    assert (again.action, again.avoid) == ("requeue", ("node2",))
    assert resume(failed, nodes=["node1", "node3"]) == Decision(action="go", reason=again.reason)
    assert resume(failed, nodes=["node1", "node2"], avoided=["node2"]).action == "go"
    assert resume([], nodes=["node1"]).action == "go"


def tell(history: History, attempt: int, **facts) -> None:
    history.attempt_file(attempt).write_text(json.dumps(facts))


def test_progress_is_a_checkpoint_newer_than_the_attempt(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.pt").touch()
    os.utime(run / "last.pt", (time.time() - 100, time.time() - 100))

    def attempt(number: int, *, step: int, saves: bool) -> Decision:
        history = History(tmp_path, "job-7")
        assert history.begin(number, nodes=["node1"]).action == "go"
        if saves:
            time.sleep(0.02)
            (run / "last.pt").touch()
            time.sleep(0.02)
        history = History(tmp_path, "job-7")  # another process
        tell(history, number, state="requeue", step=step, message="a\nb", folder=str(run))
        return history.end(status=0)

    assert attempt(0, step=10, saves=True).action == "requeue"
    assert attempt(1, step=10, saves=True).action == "requeue"  # the same step, saved once more
    assert attempt(2, step=20, saves=True).action == "requeue"
    assert attempt(3, step=30, saves=False).action == "requeue"
    assert [e.advanced for e in History(tmp_path, "job-7").endings] == [True, False, True, False]
    decision = attempt(4, step=40, saves=False)
    assert (decision.action, decision.code) == ("end", 1)
    assert not list(tmp_path.glob("job-7*"))  # the next job starts afresh


def test_attempts_that_slurm_ended_by_itself_are_concluded_by_the_next(tmp_path: Path) -> None:
    """A lost node leaves no word; whether it was lost, Slurm's list of nodes tells."""
    nodes = ["node1", "node2"]
    for attempt in range(3):
        history = History(tmp_path, "job")
        stood = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 2))
        known = "\n".join(
            [
                "NodeName=node1 Arch=x State=IDLE SlurmdStartTime=2020-01-01T00:00:00 Reason=a b",
                f"NodeName=node2 State=IDLE SlurmdStartTime={stood} BootTime=None",
                f"NodeName=node3 State=DOWN* SlurmdStartTime={stood}",
            ]
        )
        assert history.begin(attempt, nodes=nodes, known=known).action == "go"
        tell(history, attempt, state="fault", step=attempt + 1, message="without a word")
        if attempt == 0:  # the batch script lived long enough to see what Slurm does
            decision = History(tmp_path, "job").end(
                status=143, signs=["terminated", "restarted"], known=known
            )
            assert (decision.action, decision.avoid) == ("requeue", ())
        if attempt == 1:  # or only to note that it was told to end
            History(tmp_path, "job").end(status=143, signs=["terminated"])
    decision = History(tmp_path, "job").begin(3, nodes=nodes, known=known)
    assert (decision.action, decision.avoid) == ("requeue", ("node2",))
    assert "node2 failed" in decision.reason
    # On other nodes it goes on, and what was avoided once is not asked for again.
    assert History(tmp_path, "job").begin(4, nodes=["node1", "node3"]).action == "go"
    assert History(tmp_path, "job").begin(5, nodes=nodes).avoid == ()


def test_a_job_that_never_gets_on_does_not_start_a_third_time(tmp_path: Path) -> None:
    assert History(tmp_path, "job").begin(0, nodes=["a"]).action == "go"
    assert History(tmp_path, "job").begin(1, nodes=["a"]).action == "go"
    decision = History(tmp_path, "job").begin(2, nodes=["a"])
    assert (decision.action, decision.code) == ("end", 1)
    assert "attempts 0 and 1" in decision.reason


def test_an_old_job_of_the_same_number_says_nothing(tmp_path: Path) -> None:
    history = History(tmp_path, "job")
    history.begin(4, nodes=["a"])
    history.end(status=1, signs=["terminated"])
    assert History(tmp_path, "job").begin(0, nodes=["a"]).action == "go"
    assert [e.attempt for e in History(tmp_path, "job").endings] == [0]


def test_the_hosts_of_missing_processes_are_blamed(tmp_path: Path) -> None:
    history = History(tmp_path, "job")
    history.begin(0, nodes=["node1", "node2"])
    tell(history, 0, state="requeue", step=3, message="gone", hosts=["node2.cluster.org", "login"])
    decision = history.end(status=1)
    assert history.endings[0].blamed == ("node2",)
    assert decision.reason == "to go on from step 3; node2 failed"


def test_as_a_batch_script_asks(tmp_path: Path) -> None:
    def ask(*arguments: str) -> list[str]:
        command = [sys.executable, str(REPOSITORY / "launch" / "conclude.py"), str(tmp_path), "c-1"]
        done = subprocess.run(
            [*command, *arguments], input="", capture_output=True, text=True, check=True, cwd="/"
        )
        return done.stdout.splitlines()

    run = tmp_path / "my run"
    (run / "wandb" / "offline-run-1").mkdir(parents=True)
    (run / "last.pt").touch()
    assert ask("begin", "0", "node1,node2")[0] == "go"
    said = {"state": "requeue", "step": 3, "message": "two\nlines", "folder": str(run)}
    tell(History(tmp_path, "c-1"), 0, **said)
    assert ask("end", "1", "warned") == [
        *("requeue", "0", "", "to go on from step 3", "requeue, step 3, two lines"),
        f"wandb sync '{run}/wandb'/offline-run-*",
    ]
    (run / "wandb" / "offline-run-1" / "run-1.wandb.synced").touch()
    assert upload_command(ending(folder=str(run))) == ""
    ask("begin", "1", "node1,node2")
    tell(History(tmp_path, "c-1"), 1, state="requeue", step=4, folder=None)
    assert ask("end", "143", "terminated", "preempted")[:2] == ["end", "1"]
