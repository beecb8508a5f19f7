"""The report page, its curves, and the reader of W&B's files."""

import json
import math
import shutil
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from launch.reporting import run_files, wandb_file
from launch.reporting.curve import POINTS, Chart, Line, label, pieces, ticks
from launch.reporting.figures import headline, interval, time_spent
from launch.reporting.page import render, write_page

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"


def make_run(folder: Path, *, text: str = "rexnet_1.0", imagenet: bool = True, end: str = "end") -> Path:
    """A run of 10 epochs of 10 steps, resumed at step 50."""
    folder.mkdir()
    official = {"acc1": 77.9, "acc5": 93.9} if imagenet else None
    facts = {
        "recipe": "rexnet_1.0",
        "identity": "0a1b2c3d",
        "variant": text,
        "run": {"seed": 7, "data": f"/data/{text}"},
        "data": {
            "name": "imagenet-1k" if imagenet else None,
            "train_images": 640,
            "val_images": 50,
            "classes": 10,
        },
        "official": official,
        "earlier": {"acc1": 72.4} if imagenet else None,
        "plan": {
            "nodes": 1,
            "ranks": 2,
            "batch": 64,
            "micro_batch": 16,
            "accumulation": 2,
            "steps": 100,
            "steps_per_epoch": 10.0,
        },
        "found": {"device": "cpu", "precision": "fp32"},
        "versions": {"torch": "2.13.0"},
        "git": "1f2e3d4",
        "devices": [text, text],
        "wandb": {"id": "abc", "url": None, "mode": "offline"},
        "started": "2026-01-02T03:04:05+00:00",
    }
    records: list[dict[str, Any]] = []

    def add(step: int, kind: str, **more: Any) -> None:
        clock = {"step": step, "epoch": step / 10, "images_seen": step * 64, "kind": kind, "time": 1e9 + step}
        records.append(clock | more)

    add(0, "event", event="start", folder=text)
    for step in range(5, 101, 5):
        loss = None if step == 15 else 7.0 - step / 20
        add(step, "train", **{"train/loss": loss, "train/lr": 0.1, "speed/images_per_s": 100.0 + step})
        if step == 50:
            add(step, "event", event="resume")
        if step % 10 == 0:
            acc1 = 40.0 + step / 4
            for weights, less in (("ema", 0.0), ("model", 3.0)):
                figures = {
                    "eval/acc1": acc1 - less,
                    "eval/acc5": 90.0,
                    "eval/loss": 1.25,
                    "eval/images": 50_000,
                }
                add(step, "eval", weights=weights, **figures)
    add(100, "event", event=end)
    (folder / "run.json").write_text(json.dumps(facts))
    lines = [json.dumps(record) + "\n" for record in records]
    (folder / "metrics.jsonl").write_text("".join(lines) + '{"step": 100, "epo')
    return folder


class Page(HTMLParser):
    """What a browser would see: elements, their classes and attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.text.append(data)

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.text).split())


class TestPage:
    def test_says_result_official_number_and_gap(self, tmp_path: Path) -> None:
        written = write_page(make_run(tmp_path / "rexnet_1.0-0a1b2c3d"))
        assert written.name == "report.html"
        shown = Page(written.read_text()).shown
        assert "rexnet_1.0-0a1b2c3d finished" in shown
        assert "this run 65.00 90.00" in shown and "official 77.90 93.90" in shown
        assert "gap to official -12.90 -3.90" in shown and "gap to earlier -7.40" in shown
        assert "EMA weights at epoch 10.00, 50,000 images" in shown
        assert "2 ranks x 16 images x 2 accumulated = 64" in shown
        assert "2 x rexnet_1.0" in shown  # the devices
        assert '"seed": 7' in shown

    def test_draws_the_curves(self, tmp_path: Path) -> None:
        page = Page(render(run_files.read(make_run(tmp_path / "run"))))
        drawn = [a["aria-label"] for tag, a in page.tags if tag == "svg"]
        assert drawn == ["Acc@1", "Acc@5", "Loss", "Learning rate", "Speed"]
        assert sum(tag == "line" and a.get("class") == "reference" for tag, a in page.tags) == 2
        assert sum(tag == "line" and a.get("class") == "mark" for tag, a in page.tags) == 5

    def test_without_official_numbers_none_is_shown(self, tmp_path: Path) -> None:
        page = Page(render(run_files.read(make_run(tmp_path / "run", imagenet=False))))
        assert "no official number for this data" in page.shown and "gap to" not in page.shown
        assert not any(a.get("class") == "reference" for tag, a in page.tags if tag == "line")

    def test_everything_is_escaped(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "<b>run", text=EVIL)
        (folder / "attempt.json").write_text(json.dumps({"state": EVIL, "message": EVIL}))
        (folder / "metrics.jsonl").write_text(
            (folder / "metrics.jsonl").read_text().replace('"end"', '"stop"')
        )
        page = Page(render(run_files.read(folder)))
        assert not {"script", "img"} & {tag for tag, _ in page.tags}
        assert page.shown.count(EVIL) >= 5  # subtitle, message, variant, device, event
        assert "<b>run" in page.shown
        assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)

    def test_nothing_is_loaded_from_elsewhere(self, tmp_path: Path) -> None:
        html = render(run_files.read(make_run(tmp_path / "run")))
        assert "http:" not in html and "https:" not in html and "url(" not in html and "@import" not in html
        assert not any({"src", "href"} & set(attributes) for _, attributes in Page(html).tags)
        assert "default-src 'none'" in html

    def test_a_run_that_has_only_begun(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run")
        (folder / "metrics.jsonl").unlink()
        shown = Page(render(run_files.read(folder))).shown
        assert "running" in shown and "no evaluation yet" in shown

    def test_a_run_to_be_resumed_says_why(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run", end="stop")
        (folder / "attempt.json").write_text(
            '{"state": "requeue", "message": "stopped as asked", "step": 100}'
        )
        assert "to be resumed" in (shown := Page(render(run_files.read(folder))).shown)
        assert "stopped as asked" in shown

    def test_pauses_between_attempts_are_not_time_spent(self, tmp_path: Path) -> None:
        run = run_files.read(make_run(tmp_path / "run"))
        before = time_spent(run)
        at = next(i for i, r in enumerate(run.records) if r.get("event") == "resume")
        for record in run.records[at:]:
            record["time"] += 7200
        assert time_spent(run) == before == 100.0

    def test_the_headline_is_of_the_averaged_weights(self, tmp_path: Path) -> None:
        run = run_files.read(make_run(tmp_path / "run"))
        assert headline(run)["weights"] == "ema" and headline(run)["step"] == 100

    def test_from_the_command_line(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run")
        program = [sys.executable, str(Path(__file__).parents[2] / "launch" / "report.py")]
        done = subprocess.run([*program, str(folder)], capture_output=True, text=True, cwd="/")
        assert (done.returncode, done.stdout.strip()) == (0, str(folder / "report.html"))
        wrong = subprocess.run([*program, str(tmp_path)], capture_output=True, text=True, cwd="/")
        assert wrong.returncode == 2 and "has no run.json" in wrong.stderr and "Traceback" not in wrong.stderr

    @pytest.mark.browser
    def test_a_browser_draws_it(self, tmp_path: Path) -> None:
        page = write_page(make_run(tmp_path / "run", text=EVIL))
        browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            page.as_uri(),
        ]
        seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        assert seen.count("<svg") == 5 and "<script" not in seen and "<img" not in seen


class TestCurve:
    @pytest.mark.parametrize(
        ("low", "high", "first", "last", "step"),
        [(0, 1, 0, 1, 0.2), (0, 79, 0, 80, 20), (3.2, 6.9, 3, 7, 1), (0.001, 0.0042, 0.001, 0.005, 0.001)],
    )
    def test_ticks_are_round(self, low: float, high: float, first: float, last: float, step: float) -> None:
        found = ticks(low, high)
        assert found[0] == pytest.approx(first) and found[-1] == pytest.approx(last)
        assert found[1] - found[0] == pytest.approx(step)

    @pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-9])
    def test_ticks_of_a_constant(self, value: float) -> None:
        found = ticks(value, value)
        assert len(found) > 1 and found[0] <= value <= found[-1]

    def test_labels_tell_ticks_apart(self) -> None:
        assert [label(v, [0, 2.5, 5, 7.5]) for v in (0, 2.5, 5, 7.5)] == ["0.0", "2.5", "5.0", "7.5"]
        assert [label(v, [0, 2000, 4000]) for v in (0, 2000, 4000)] == ["0", "2,000", "4,000"]

    def test_a_long_line_is_thinned_and_keeps_its_spikes(self) -> None:
        points = [(float(x), 100.0 if x == 31_417 else math.sin(x / 1000)) for x in range(100_000)]
        (kept,) = pieces(points)
        assert len(kept) <= POINTS + 2
        assert (31_417.0, 100.0) in kept
        assert kept == sorted(kept)

    def test_what_is_missing_breaks_the_line(self) -> None:
        points = [(0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, math.nan), (4.0, 5.0)]
        assert pieces(points) == [[(0.0, 1.0), (1.0, 2.0)], [(4.0, 5.0)]]

    def test_points_stand_where_their_values_are(self) -> None:
        svg = Chart(title="t", lines=[Line(name="n", points=[(0.0, 0.0), (10.0, 4.0)])], low=0.0).svg()
        page = Page(svg)
        (way,) = (a["points"] for tag, a in page.tags if tag == "polyline")
        assert way == "58.0,214.0 546.0,12.0"  # the lower left and upper right corners of the axes

    def test_nothing_to_draw(self) -> None:
        assert Chart(title="t", lines=[Line(name="n", points=[(1.0, None), (2.0, math.nan)])]).svg() == ""


@pytest.mark.parametrize(
    ("acc", "low", "high"), [(50.0, 40.38, 59.62), (0.0, 0.0, 3.70), (100.0, 96.30, 100.0)]
)
def test_confidence_interval(acc: float, low: float, high: float) -> None:
    """Wilson's interval of 50, 0 and 100 of 100, as statistics packages give it."""
    assert interval(acc, 100) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def log_of(*records: bytes) -> bytes:
    """The records in the format of a .wandb file."""
    content = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for record in records:
        rest, first = record, True
        while first or rest:
            left = 32768 - len(content) % 32768
            if left < 7:
                content += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            content += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
            first = False
    return bytes(content)


class TestWandbFile:
    RECORDS = (b"a" * 10, b"b" * 40_000, b"", b"c" * 25_486, b"d" * 100_000, b"e")

    def test_reads_records_over_blocks(self) -> None:
        assert tuple(wandb_file.payloads(log_of(*self.RECORDS))) == self.RECORDS

    def test_a_torn_tail_is_left_out(self) -> None:
        whole = log_of(*self.RECORDS)
        for end in range(7, len(whole), 613):
            found = tuple(wandb_file.payloads(whole[:end]))
            assert found == self.RECORDS[: len(found)]
            assert tuple(wandb_file.payloads(whole[:end] + bytes(5000))) == found  # a file grown, not written

    def test_a_damaged_record_ends_the_reading(self) -> None:
        damaged = bytearray(log_of(*self.RECORDS))
        damaged[100] ^= 1
        assert tuple(wandb_file.payloads(bytes(damaged))) == self.RECORDS[:1]

    @pytest.mark.parametrize("content", [b"", b":W&", b"PK\3\4 something else"])
    def test_another_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.wandb").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.wandb is not a \.wandb file"):
            wandb_file.read(tmp_path / "x.wandb")
