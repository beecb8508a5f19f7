"""Trackers: metrics.jsonl, the terminal, W&B."""

import base64
import errno
import io
import json
import math
import os
import pty
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch.reporting import wandb_file
from launch.track.connection import reachable
from launch.track.jsonl import Jsonl
from launch.track.ledger import Ledger
from launch.track.summary import Summary
from launch.track.terminal import Terminal
from launch.track.trackers import Silent, Trackers
from launch.track.wandb_start import config
from launch.track.weights_and_biases import Picture, WeightsAndBiases
from tests.launch.metric_names import documented, summaries
from tests.launch.played_server import KEY, Server, dropping, serving


def train(step: int, **more: Any) -> dict[str, Any]:
    clock = {"step": step, "epoch": step / 10, "images_seen": step * 64, "kind": "train", "time": 1e9 + step}
    figures = {
        "train/loss": 2.0 / step,
        "train/acc1": 40.0,
        "train/lr": 0.1,
        "speed/images_per_s": 128.0,
        "speed/data_wait": 0.015,
    }
    return clock | figures | more


def evaluation(step: int, acc1: float, *, weights: str = "ema") -> dict[str, Any]:
    return {
        "step": step,
        "epoch": step / 10,
        "images_seen": step * 64,
        "kind": "eval",
        "time": 1e9 + step,
        "weights": weights,
        "eval/acc1": acc1,
        "eval/acc5": acc1 + 10,
        "eval/loss": 1.5,
        "eval/images": 500,
        "official/acc1": 77.9,
        "official/acc5": 93.9,
        "gap/acc1": acc1 - 77.9,
    }


def bad_image(step: int, file: str) -> dict[str, Any]:
    clock = {"step": step, "epoch": step / 10, "images_seen": step * 64, "kind": "event", "time": 1e9 + step}
    return clock | {"event": "bad image", "split": "train", "file": file, "fault": "is empty"}


def steps_in(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


class TestJsonl:
    def test_each_line_is_on_disk_as_it_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        jsonl = Jsonl(path, say=pytest.fail)
        for step in (1, 2, 3):
            jsonl.write(train(step))
            assert steps_in(path) == list(range(1, step + 1))
        jsonl.close(state="done")

    def test_goes_back_to_the_step_of_the_checkpoint(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        first = Jsonl(path, say=pytest.fail)
        for step in range(1, 8):
            first.write(train(step))
        first.close(state="fault")
        again = Jsonl(path, say=pytest.fail, resume_step=4)
        assert [r["step"] for r in again.kept] == [1, 2, 3, 4]
        again.write(train(5, **{"train/loss": 9.0}))
        again.close(state="done")
        assert steps_in(path) == [1, 2, 3, 4, 5]
        assert json.loads(path.read_text().splitlines()[-1])["train/loss"] == 9.0
        assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]

    def test_what_is_to_be_measured_again_is_dropped(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        step = {"step": 4}
        before = [
            train(3),
            bad_image(4, "a"),
            train(4),
            {**step, "kind": "eval"},
            {**step, "event": "checkpoint"},
        ]
        after = [bad_image(4, "b"), {**step, "kind": "eval", "final": 1}, {**step, "event": "end"}]
        path.write_text("".join(json.dumps(r) + "\n" for r in before + after))
        for owes_score, kept in ((False, before), (True, [*before[:3], before[4]])):
            jsonl = Jsonl(path, say=pytest.fail, resume_step=4, owes_score=owes_score)
            jsonl.close(state="done")
            assert list(jsonl.kept) == kept

    @pytest.mark.parametrize("torn", ['{"step": 3, "epo', '{"step": 3}', "\0\0\0\n", "[3]\n"])
    def test_drops_a_torn_last_line(self, tmp_path: Path, torn: str) -> None:
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"step": 1}\n{"step": 2}\n' + torn)
        Jsonl(path, say=pytest.fail, resume_step=9).close(state="done")
        assert path.read_text() == '{"step": 1}\n{"step": 2}\n'

    def test_leaves_a_whole_file_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"step": 1}\n{"step": 2}\n')
        inode = path.stat().st_ino
        Jsonl(path, say=pytest.fail, resume_step=2).close(state="done")
        assert path.stat().st_ino == inode

    def test_what_is_not_finite_becomes_null(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        jsonl = Jsonl(path, say=pytest.fail)
        jsonl.write(train(1, **{"train/loss": math.nan, "health/grad_norm": math.inf}))
        jsonl.close(state="done")
        record = json.loads(path.read_text(), parse_constant=pytest.fail)
        assert record["train/loss"] is None and record["health/grad_norm"] is None

    @pytest.mark.parametrize("room", [0, 300])
    def test_what_a_full_disk_refuses_is_written_when_there_is_room(self, tmp_path: Path, room: int) -> None:
        """A limit on the size of files, in a process of its own, cuts lines where a full disk would."""
        path, program = tmp_path / "metrics.jsonl", Path(__file__).with_name("full_disk.py")
        command = [sys.executable, str(program), str(path), str(room)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        told = json.loads(ended.stdout)
        full, again = told["while full"], told["with room"]
        assert 1 <= len(full) < 6 and full == list(range(1, len(full) + 1))
        assert again == list(range(1, 8)) and told["in the end"][:7] == again
        first, second, lost = told["said"]
        says = "metrics.jsonl cannot be written: [Errno 27] File too large; its lines wait in memory"
        assert first == second and first.startswith(says)
        count = 9 - len(told["in the end"])
        assert count >= 1 and f"the last {count} lines of".replace(" 1 lines", " line") in lost
        assert f"{path}, from step {10 - count} on, cannot be written: [Errno 27] File too large" in lost

    def test_a_folder_that_is_gone_for_a_while(self, tmp_path: Path) -> None:
        (folder := tmp_path / "run").mkdir()
        said: list[str] = []
        jsonl = Jsonl(folder / "metrics.jsonl", say=said.append)
        jsonl.write(train(1))
        away = folder.rename(tmp_path / "away")
        jsonl.write(train(2))
        jsonl.write(train(3))
        assert (missing := jsonl.missing()) and "the last 2 lines of" in missing and "step 2 on" in missing
        away.rename(folder)
        jsonl.close(state="done")
        assert steps_in(folder / "metrics.jsonl") == [1, 2, 3] and jsonl.missing() is None
        (line,) = said
        assert line.startswith("metrics.jsonl cannot be written: [Errno 2] No such file or directory")

    @pytest.mark.parametrize("failing", [["close"], ["write"], ["write", "truncate"], ["tell"]])
    def test_no_error_tears_or_doubles_a_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: list[str]
    ) -> None:
        """On NFS a full disk shows when a file is closed; and what has failed may be half done."""
        fails: list[str] = []

        class Failing(io.FileIO):
            def fail(self, name: str) -> None:
                if name in fails:
                    fails.remove(name)
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

            def write(self, line: Any) -> int:
                if "write" in fails and len(line) > 50:
                    return super().write(line[:50])
                self.fail("write")
                return super().write(line)

            def truncate(self, size: int | None = None) -> int:
                self.fail("truncate")
                return super().truncate(size)

            def tell(self) -> int:
                self.fail("tell")
                return super().tell()

            def close(self) -> None:
                super().close()
                self.fail("close")

        path, said = tmp_path / "metrics.jsonl", list[str]()
        jsonl = Jsonl(path, say=said.append)
        jsonl.write(train(1) | {"file": "x" * 100})
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda path, mode, buffering: Failing(path, mode))
            fails += failing
            while fails:
                jsonl.write(train(2) | {"file": "x" * 100})
            jsonl.write(train(3))
            jsonl.close(state="done")
        steps = steps_in(path)
        assert steps == [1, *[2] * (len(steps) - 2), 3] and 3 <= len(steps) <= 2 + len(failing)
        assert len(said) == 1 and "Stale file handle" in said[0]

    def test_a_file_that_cannot_be_opened_at_the_start_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Jsonl(tmp_path / "none" / "metrics.jsonl", say=pytest.fail)


class TestTrackers:
    def test_all_are_told_and_all_are_closed(self) -> None:
        told: list[tuple[str, Any]] = []

        class Recorder(Silent):
            def __init__(self, name: str, *, fails: bool = False) -> None:
                self.name, self.fails = name, fails

            def write(self, record: Any) -> None:
                told.append((self.name, record["step"]))

            def close(self, *, state: str) -> None:
                told.append((self.name, state))
                if self.fails:
                    raise OSError(self.name)

        trackers = Trackers([Recorder("a", fails=True), Silent(), Recorder("b", fails=True)])
        trackers.write(train(3))
        with pytest.raises(OSError, match="a"):
            trackers.close(state="fault")
        assert told == [("a", 3), ("b", 3), ("a", "fault"), ("b", "fault")]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestTerminal:
    def begin(self, tmp_path: Path, stream: io.StringIO) -> Terminal:
        terminal = Terminal(stream=stream)
        terminal.say("first words")
        terminal.begin(log=tmp_path / "log.txt", steps=100, steps_per_epoch=10.0, batch=64)
        return terminal

    def test_plain_lines_and_the_same_in_the_log(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        terminal = self.begin(tmp_path, stream)
        terminal.write(train(50))
        terminal.write(evaluation(50, 61.25))
        terminal.say("[red]not markup[/red] :smile: " + "x" * 300)
        terminal.close(state="done")
        lines = stream.getvalue().splitlines()
        assert lines == (tmp_path / "log.txt").read_text().splitlines()
        assert lines[1] == (
            "epoch 5.00/10  step 50/100  loss 0.0400  Acc@1 40.00  lr 0.1"
            "  128 images/s  data wait 1.5 %  ETA 25 s"
        )
        assert lines[2] == (
            "epoch 5.00  ema weights: Acc@1 61.25  Acc@5 71.25  loss 1.5000  over 500 images"
            "  (official Acc@1 77.90, gap -16.65)"
        )
        assert lines[3] == "[red]not markup[/red] :smile: " + "x" * 300

    def test_the_log_is_appended_to(self, tmp_path: Path) -> None:
        for _ in range(2):
            self.begin(tmp_path, io.StringIO()).close(state="done")
        assert (tmp_path / "log.txt").read_text() == "first words\nfirst words\n"

    @pytest.mark.parametrize("no_color", [False, True])
    def test_a_live_line_on_a_terminal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_color: bool
    ) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.delenv("NO_COLOR", raising=False)
        if no_color:
            monkeypatch.setenv("NO_COLOR", "1")
        screen = Screen()
        terminal = self.begin(tmp_path, screen)
        for step in (10, 20):
            terminal.write(train(step))
        terminal.say("a line above")
        terminal.close(state="done")
        shown = screen.getvalue()
        assert "step 20/100" in shown and "ETA 40 s" in shown and "a line above" in shown
        assert "\x1b[2K" in shown  # the line is drawn over
        assert ("\x1b[32m" in shown) is not no_color
        assert shown.endswith("\x1b[?25h")  # the cursor is back
        assert "\x1b" not in (tmp_path / "log.txt").read_text()

    @pytest.mark.parametrize(
        ("width", "kept", "left_out"),
        [
            (130, "#" * 2 + "." * 18 + "  10%  epoch 1.00/10  step 10/100", ()),
            (120, "lr 0.1", ()),
            (100, "step 10/100", ("lr",)),
            (80, "Acc@1 40.00", ("lr", "step")),
            (40, "epoch 1.00/10  loss 0.2000", ("lr", "step", "Acc@1", "data wait", "images/s")),
        ],
    )
    def test_the_live_line_fits_the_terminal(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        width: int,
        kept: str,
        left_out: tuple[str, ...],
    ) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(width))
        screen = Screen()
        terminal = self.begin(tmp_path, screen)
        terminal.write(train(10))
        terminal.close()
        shown = re.sub(r"\x1b\[\d*m", "", screen.getvalue())  # without colours
        (line,) = {text for text in re.split(r"\x1b\[\??\d*[A-Za-z]|\s*\n|\r", shown) if "epoch" in text}
        assert kept in line and line.endswith("ETA 45 s") and len(line) <= width
        assert not any(name in line for name in left_out)
        assert "lr 0.1" in (tmp_path / "log.txt").read_text()

    def test_names_cannot_drive_the_terminal(self, tmp_path: Path) -> None:
        for stream in (io.StringIO(), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
            terminal = self.begin(tmp_path, stream)
            terminal.write(bad_image(3, "n01/\x1b[2J\x07\udcff\r.jpg"))
            terminal.say("the end")
            stream.seek(0)
            shown = stream.read()
            assert r"n01/\x1b[2J\x07\udcff\x0d.jpg is empty" in shown and shown.endswith("the end\n")
            terminal.close()
        assert (tmp_path / "log.txt").read_text().count(r"n01/\x1b[2J\x07\udcff\x0d.jpg is empty") == 2

    def test_what_is_said_after_the_end_is_logged_too(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        terminal = self.begin(tmp_path, stream)
        terminal.close(state="done")
        terminal.say("\nAcc@1  99.00 %\nreport  x")
        assert stream.getvalue() == (tmp_path / "log.txt").read_text()
        assert stream.getvalue().endswith("first words\n\nAcc@1  99.00 %\nreport  x\n")

    def test_a_log_that_cannot_be_written_is_said_once(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        terminal = Terminal(stream=stream)
        terminal.begin(log=tmp_path, steps=100, steps_per_epoch=10.0, batch=64)  # a folder
        for _ in range(3):
            terminal.say("a line")
        terminal.close(state="done")
        assert stream.getvalue().count("log.txt is not written any more") == 1
        assert stream.getvalue().count("a line") == 3

    def test_a_stream_that_closes_does_not_stop_training(self, tmp_path: Path) -> None:
        class Broken(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        terminal = self.begin(tmp_path, Broken())
        terminal.write(train(50))
        terminal.close(state="done")
        assert len((tmp_path / "log.txt").read_text().splitlines()) == 2

    def test_a_loss_that_is_not_a_number_is_shown(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        terminal = self.begin(tmp_path, stream)
        terminal.write(train(50, **{"train/loss": math.nan, "speed/images_per_s": 0.0}))
        terminal.close(state="fault")
        assert "loss nan" in stream.getvalue() and "ETA -" in stream.getvalue()


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FACTS: dict[str, Any] = {
    "recipe": "rexnet_1.0",
    "identity": "0a1b2c3d",
    "variant": "rexnet_1.0",
    "run": {"seed": 7, "optim": {"lr": 0.5}},
    "data": {"name": "imagenet-1k", "classes": 1000},
    "official": {"acc1": 77.9, "acc5": 93.9},
    "expected": {"points": [[1.0, 60.0], [3.0, 70.0]]},
    "wandb": {"id": "abcd1234", "url": None, "mode": None},
}


@pytest.fixture
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without W&B key or settings, and a secret in the environment; returns the run's folder."""
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(home / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("PLANTED_TOKEN", "planted-secret")
    run = tmp_path / "run"
    run.mkdir()
    return run


def track(folder: Path, records: list[dict[str, Any]], *, state: str = "done", **options: Any) -> Any:
    """Tracks `records`; returns the tracker, the lines said, and the runs read back."""
    if wandb_file.find(folder):
        time.sleep(1 - time.time() % 1)  # wandb names a piece by the second in which it starts
    said: list[str] = []
    tracker = WeightsAndBiases(folder, facts=FACTS, say=said.append, **options)
    for record in records:
        tracker.write(record)
    tracker.close(state=state)
    return tracker, said, [wandb_file.read(path) for path in wandb_file.find(folder)]


def typed(command: str) -> str:
    """Types a line that was printed, from elsewhere; returns what it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_weights_beside_their_average_do_not_count_whatever_comes_first() -> None:
    """With a hold-out, or in one epoch, the trained weights are the first to be scored on val."""
    summary = Summary()
    for record in (evaluation(10, 90.0, weights="model"), evaluation(10, 80.0)):
        summary.add(record)
    assert (summary.values["last/acc1"], summary.values["best/acc1"]) == (80.0, 80.0)


class TestWeightsAndBiases:
    def test_without_a_key_the_run_is_kept_offline_whole(self, no_account: Path) -> None:
        records = [train(step) for step in range(1, 600)]  # more than one block of the file
        records += [evaluation(600, 61.0), evaluation(610, 60.0), evaluation(610, 55.0, weights="model")]
        tracker, said, (run,) = track(no_account, records)
        assert (tracker.mode, tracker.url, said) == ("offline", None, [])
        assert (run.id, run.project, run.name, run.exit_code) == (
            "abcd1234",
            "rexnet",
            "rexnet_1.0-0a1b2c3d",
            0,
        )
        assert run.config["seed"] == 7 and run.config["optim"] == {"lr": 0.5}
        assert run.config["official"] == {"acc1": 77.9, "acc5": 93.9}
        assert run.axes["eval/*"] == "epoch" and run.axes["speed/*"] == "images_seen"
        rows = run.history
        assert [row["step"] for row in rows] == [record["step"] for record in records]
        assert rows[598]["train/loss"] == pytest.approx(2.0 / 599) and rows[598]["images_seen"] == 599 * 64
        assert (rows[599]["eval/acc1"], rows[599]["official/acc1"]) == (61.0, 77.9)
        assert "eval/acc1" not in rows[601] and rows[601]["eval-model/acc1"] == 55.0
        summary = run.summary
        assert (summary["last/acc1"], summary["best/acc1"], summary["best_epoch"]) == (60.0, 61.0, 60.0)
        assert (summary["last/acc5"], summary["gap/acc1"]) == (70.0, pytest.approx(60.0 - 77.9))

    def test_nothing_of_the_environment_is_written(self, no_account: Path) -> None:
        track(no_account, [train(1)])
        written = {p.name: p.read_bytes() for p in no_account.rglob("*") if p.is_file()}
        assert any(name.endswith(".wandb") for name in written)
        for name, content in written.items():
            assert b"planted-secret" not in content, name
        (file,) = wandb_file.find(no_account)
        assert sys.executable.encode() not in file.read_bytes()
        assert socket.gethostname().encode() not in file.read_bytes().split()
        assert not list(file.parent.rglob("requirements.txt")) and not list(file.parent.rglob("*metadata*"))

    def test_training_does_not_wait_for_the_start(self, no_account: Path) -> None:
        began = time.monotonic()
        tracker = WeightsAndBiases(no_account, facts=FACTS, say=pytest.fail)
        tracker.write(train(1))
        assert time.monotonic() - began < 0.2
        assert tracker.wait(30)
        tracker.close(state="done")

    def test_an_attempt_goes_on_from_the_earlier_ones(self, no_account: Path) -> None:
        track(no_account, [evaluation(10, 70.0)], state="requeue")
        _, _, (first, second) = track(no_account, [evaluation(20, 65.0)], earlier=[evaluation(10, 70.0)])
        assert (first.id, first.exit_code) == (second.id, 1)
        assert (second.summary["last/acc1"], second.summary["best/acc1"]) == (65.0, 70.0)

    def test_bad_images_are_named_over_all_attempts(self, no_account: Path) -> None:
        first, second = (bad_image(step, f"/data/train/a/{step}.jpg") for step in (3, 8))
        names = ["/data/train/a/3.jpg is empty", "/data/train/a/8.jpg is empty"]
        _, _, (run,) = track(no_account, [first, train(4), second])
        assert run.summary["bad_images"] == names and [row["step"] for row in run.history] == [4]
        _, _, runs = track(no_account, [second], earlier=[first])
        assert [run.summary["bad_images"] for run in runs] == [names, names]

    def test_an_unreachable_server_costs_seconds_and_one_line(
        self, no_account: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
            monkeypatch.setenv("WANDB_API_KEY", KEY)
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
            began = time.monotonic()
            tracker, said, (run,) = track(no_account, [evaluation(10, 70.0)])
        assert time.monotonic() - began < 15
        assert tracker.mode == "offline" and len(run.history) == 1
        assert len(said) == 1 and "cannot be reached" in said[0] and "wandb sync" in said[0]

    @pytest.mark.slow
    def test_an_address_that_nobody_answers_costs_no_more_than_5_s(
        self, no_account: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        track(no_account, [])  # imports wandb
        began = time.monotonic()
        track(no_account, [evaluation(10, 70.0)])
        usual = time.monotonic() - began
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        with dropping() as nowhere:
            monkeypatch.setenv("WANDB_BASE_URL", nowhere)
            began = time.monotonic()
            tracker, said, (*_, run) = track(no_account, [evaluation(10, 70.0)])
            assert 2 < time.monotonic() - began - usual < 5
        assert tracker.mode == "offline" and len(run.history) == 1 and "cannot be reached" in said[0]

    def test_a_server_that_never_answers_costs_no_more_than_the_wait(
        self, no_account: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as hole:
            monkeypatch.setenv("WANDB_API_KEY", KEY)
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{hole.getsockname()[1]}")
            began = time.monotonic()
            tracker, said, (*_, run) = track(no_account, [evaluation(10, 70.0)], online_wait=11.0)
        assert time.monotonic() - began < 20
        assert tracker.mode == "offline" and len(run.history) == 1
        assert len(said) == 1 and "did not answer" in said[0]

    def test_a_key_that_cannot_be_one(self, no_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "short")
        tracker, said, (run,) = track(no_account, [train(1)])
        assert tracker.mode == "offline" and len(run.history) == 1
        assert len(said) == 1 and "key is not usable" in said[0] and "short" not in said[0]

    def test_the_first_failure_is_said_once_and_then_silence(
        self, no_account: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import wandb

        def broken(**_: Any) -> Any:
            raise OSError("no space left")

        monkeypatch.setattr(wandb, "init", broken)
        tracker, said, runs = track(no_account, [train(step) for step in range(1, 50)])
        assert tracker.mode == "failed" and runs == []
        assert len(said) == 1 and "no space left" in said[0]

    def test_a_failure_in_the_middle(self, no_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import wandb

        begin = wandb.init

        def brittle(**options: Any) -> Any:
            run = begin(**options)
            log = run.log

            def once(row: Any) -> None:
                if row["step"] > 1:
                    raise ConnectionError("gone")
                log(row)

            monkeypatch.setattr(run, "log", once)
            return run

        monkeypatch.setattr(wandb, "init", brittle)
        tracker, said, _ = track(no_account, [train(step) for step in range(1, 50)])
        assert tracker.mode == "failed" and len(said) == 1 and "gone" in said[0]

    def test_disabled_means_nothing_at_all(self, no_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_MODE", "disabled")
        tracker, said, _ = track(no_account, [train(1)])
        assert tracker.mode == "disabled" and said == [] and list(no_account.iterdir()) == []

    def test_never_a_prompt(self, no_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_MODE", "online")
        program = (
            "import sys, json; from pathlib import Path\n"
            "from launch.track.weights_and_biases import WeightsAndBiases\n"
            "w = WeightsAndBiases(Path(sys.argv[1]), facts=json.loads(sys.argv[2]), say=print)\n"
            "w.close(state='done'); print('mode', w.mode)"
        )
        outside, inside = pty.openpty()
        try:
            child = subprocess.run(
                [sys.executable, "-c", program, str(no_account), json.dumps(FACTS)],
                stdin=inside,
                stdout=inside,
                stderr=inside,
                cwd=Path(__file__).parents[2],
                timeout=60,
            )
            shown = os.read(outside, 65536).decode()
        finally:
            os.close(outside)
            os.close(inside)
        assert child.returncode == 0
        first, second = shown.splitlines()
        assert "no key is set" in first and second == "mode offline"

    def test_online_it_is_one_run_over_two_attempts(
        self, no_account: Path, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        tracker, said, _ = track(no_account, [train(1), evaluation(10, 70.0)], state="requeue")
        assert (tracker.mode, tracker.url) == ("online", f"{server.url}/team/rexnet/runs/abcd1234")
        assert said == [tracker.words] == [f"W&B: {tracker.url}"]
        track(no_account, [evaluation(20, 71.0)], earlier=[evaluation(10, 70.0)])
        assert server.ids == {"abcd1234"}
        assert [row["step"] for row in server.history] == [1, 10, 20]
        assert [row.get("official/acc1") for row in server.history] == [None, 77.9, 77.9]
        assert [row.get("expected/acc1") for row in server.history] == [None, 60.0, 65.0]
        assert b"planted-secret" not in server.received

    @pytest.mark.slow
    def test_a_network_that_vanishes_costs_a_bounded_end(
        self, no_account: Path, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server takes connections and does not answer any more: nothing is refused.

        The last line uploads this attempt's piece, and not again those that are all there.
        """
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        no_account = no_account.rename(no_account.with_name("a run of $mine"))
        first, _, _ = track(no_account, [train(1001)], state="requeue")
        assert first.words == f"W&B: {first.url}"
        time.sleep(1 - time.time() % 1)
        said: list[str] = []
        tracker = WeightsAndBiases(no_account, facts=FACTS, say=said.append, finish_wait=3.0)
        assert tracker.wait(20.0) and tracker.mode == "online"
        server.vanished.set()
        try:
            began = time.monotonic()
            for step in range(1, 501):
                tracker.write(train(step))
            assert time.monotonic() - began < 0.5
            tracker.close(state="done")
            assert time.monotonic() - began < 15
        finally:
            server.vanished.clear()
        assert tracker.words is not None
        begin, _, command = tracker.words.partition("; not all of it is there, to upload it: ")
        assert begin == f"W&B: {tracker.url}"
        dry = typed(command.replace("wandb sync", "wandb sync --dry-run", 1))
        _, last = wandb_file.find(no_account)
        assert "Would sync 1 run(s)" in dry and last.parent.name in dry
        typed(command)
        assert server.ids == {"abcd1234"}
        assert {row["step"] for row in server.history} == {*range(1, 501), 1001}
        assert [row["step"] for row in server.history].count(1001) == 1


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as played:
        yield played


class TestOneRun:
    """However often a training is started, it is one W&B run."""

    def test_wandb_sync_joins_the_offline_pieces(
        self, no_account: Path, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the very line that the tracker ends with, from a folder whose name a shell would split."""
        folder = no_account.with_name("a run of $mine")
        folder.mkdir()
        first, _, _ = track(folder, [train(1), evaluation(10, 70.0)], state="requeue")
        assert first.words.startswith("W&B: this run is kept offline; to upload it: wandb sync ")
        last, said, _ = track(folder, [train(11), evaluation(20, 71.0)], earlier=[evaluation(10, 70.0)])
        assert said == [] and last.words == first.words
        command = last.words.partition("to upload it: ")[2]
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        typed(command)
        assert server.ids == {"abcd1234"}
        assert [row["step"] for row in server.history] == [1, 10, 11, 20]
        assert server.summary["best/acc1"] == 71.0
        assert last.words is None  # nothing is left to be uploaded

    def test_the_summary_is_whole_right_after_a_resume(self, no_account: Path) -> None:
        costs = {"cost/wall_hours": 1.5, "cost/gpu_hours": 12.0, "cost/goodput": 0.9}
        earlier = [train(5, **costs, **{"health/restarts": 2}), evaluation(10, 70.0), evaluation(20, 69.0)]
        _, _, (run,) = track(no_account, [], earlier=earlier)
        wanted = {"last/acc1": 69.0, "last/acc5": 79.0, "best/acc1": 70.0, "best_epoch": 1.0, "hours": 1.5}
        wanted |= {"gap/acc1": pytest.approx(69.0 - 77.9), "gpu_hours": 12.0, "goodput": 0.9, "restarts": 2}
        assert {name: run.summary[name] for name in wanted} == wanted
        assert {name for name in run.summary if not name.startswith("_")} <= summaries()

    def test_the_configuration_is_the_resolved_recipe(self) -> None:
        asked = {"micro_batch": None, "numerics": {"precision": "auto", "layout": "auto"}, "seed": 7}
        asked |= {"feeding": {"decode": "auto", "window": "auto", "workers": 3}}
        found = {"precision": "bf16", "layout": "channels-last-8", "decode": "gpu", "window": "roi"}
        facts = FACTS | {"run": asked, "found": found, "plan": {"micro_batch": 64, "ranks": 8}}
        known = config(facts)
        assert (known["micro_batch"], known["seed"], known["plan"]["ranks"]) == (64, 7, 8)
        assert known["numerics"] == {"precision": "bf16", "layout": "channels-last-8"}
        assert known["feeding"] == {"decode": "gpu", "window": "roi", "workers": 3}
        assert facts["run"]["numerics"]["precision"] == "auto"  # run.json's is left as it was asked for

    def test_a_picture_is_sent_only_when_shown(self, no_account: Path) -> None:
        picture = no_account / "images.png"
        picture.write_bytes(PNG)
        tracker = WeightsAndBiases(no_account, facts=FACTS, say=pytest.fail)
        tracker.show(Picture(picture, "six images"))
        tracker.close(state="done")
        (run,) = [wandb_file.read(path) for path in wandb_file.find(no_account)]
        assert run.history[0]["images/train.caption"] == "six images"
        assert [p.read_bytes() for p in (no_account / "wandb").rglob("*.png")] == [PNG]


class TestReachable:
    def test_a_name_server_that_never_answers_costs_the_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = threading.Event()

        def look_up(*_: Any) -> Any:
            answers.wait(30)
            raise OSError("no name server")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        began = time.monotonic()
        assert not reachable("https://api.wandb.ai", timeout=0.2)
        assert time.monotonic() - began < 10
        answers.set()

    def test_behind_a_proxy_it_is_the_proxy_that_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
            assert reachable("https://api.wandb.invalid", timeout=2)
        assert not reachable("https://api.wandb.invalid", timeout=2)

    def test_an_address_without_a_server(self) -> None:
        assert not reachable("nonsense", timeout=1)


def cpu_seconds_of_children() -> float:
    """CPU time of the processes that this one has started, W&B's service among them, alive or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            ticks += sum(map(int, fields[11:13]))
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def test_a_line_of_metrics_costs_little(no_account: Path) -> None:
    """Of 50 steps of 50 ms, which is fast, 0.5 % are 12.5 ms. CPU time is that of all threads, and of W&B."""
    terminal = Terminal(stream=io.StringIO())
    terminal.begin(log=no_account / "log.txt", steps=10**6, steps_per_epoch=1e3, batch=64)
    wandb = WeightsAndBiases(no_account, facts=FACTS, say=terminal.say)
    jsonl = Jsonl(no_account / "metrics.jsonl", say=terminal.say)
    tracker = Trackers([Ledger(Trackers([jsonl, wandb]), processes=8, began=0.0), terminal])
    assert wandb.wait(60)
    more = {name: 1.5 for name in documented() if name.startswith(("speed/", "health/", "cost/"))}
    tracker.write(train(1, **more))
    time.sleep(1.0)  # the service has settled
    count, busy, theirs = 200, time.process_time(), cpu_seconds_of_children()
    began = time.perf_counter()
    for step in range(2, 2 + count):
        tracker.write(train(step, **more))
    line = (time.perf_counter() - began) / count
    tracker.close(state="done")  # all of it is written
    busy, theirs = time.process_time() - busy, cpu_seconds_of_children() - theirs
    print(f"a line: {1e3 * line:.2f} ms; CPU {1e3 * busy / count:.2f} ms, W&B {1e3 * theirs / count:.2f} ms")
    assert line < 0.0125 and busy / count < 0.0125
