"""The report page: what it says, what it draws, and how a browser shows it."""

import html
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch.reporting import run_files
from launch.reporting.axis import label, ticks
from launch.reporting.classes import Class, Confusion, by_class, confusions, hits
from launch.reporting.curve import POINTS, Chart, Level, Line, pieces
from launch.reporting.ending import ending_lines
from launch.reporting.figures import headline, result_interval, time_spent
from launch.reporting.page import render, write_page
from launch.reporting.run_files import Guesses, RunFiles
from launch.training import tell_ending

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"
PROGRAM = [sys.executable, str(Path(__file__).parents[2] / "launch" / "report.py")]


def make_run(
    folder: Path,
    *,
    text: str = "rexnet_1.0",
    imagenet: bool = True,
    end: str = "end",
    classes: int = 0,
    better: float = 0.0,
    **more: float,
) -> Path:
    """A run of 10 epochs of 10 steps, resumed at step 50.

    Args:
        text: stands in many places of its files.
        classes: of how many it has predictions; none without.
        better: points that are added to its accuracies.
        more: constant metrics of its train records, `health_x` for health/x.
    """
    folder.mkdir()
    facts = {
        "recipe": "rexnet_1.0",
        "identity": "0a1b2c3d",
        "variant": text,
        "run": {"seed": 7, "epochs": 10, "data": f"/data/{text}", "augmentation": {"image_size": 160}},
        "identity_fields": {"seed": 7, "optim": {"lr": 0.1 + better}},
        "data": {
            "name": "imagenet-1k" if imagenet else None,
            "train_images": 640,
            "val_images": 50,
            "classes": 10,
        },
        "official": {"acc1": 77.9, "acc5": 93.9} if imagenet else None,
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
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "git": "1f2e3d4",
        "devices": [text, text],
        "machine": {"cpu": "a processor", "cores": 2},
        "wandb": {"id": "abc", "url": None, "mode": "offline"},
        "started": "2026-01-02T03:04:05+00:00",
        "restarts": 1,
    }
    records: list[dict[str, Any]] = []
    constant = {name.replace("_", "/", 1): value for name, value in more.items()}

    def add(step: int, kind: str, **more: Any) -> None:
        clock = {"step": step, "epoch": step / 10, "images_seen": step * 64, "kind": kind, "time": 1e9 + step}
        records.append(clock | more)

    add(0, "event", event="start", folder=text)
    for step in range(5, 101, 5):
        loss = None if step == 15 else 7.0 - step / 20
        measured = {"train/loss": loss, "train/lr": 0.1, "speed/images_per_s": 100.0 + step}
        add(step, "train", **measured, **constant)
        if step == 50:
            add(step, "event", event="resume")
        if step % 10 == 0:
            for weights, less in (("ema", 0.0), ("model", 3.0)):
                figures = {
                    "eval/acc1": 40.0 + step / 4 - less + better,
                    "eval/acc5": 90.0,
                    "eval/loss": 1.25,
                    "eval/images": 50_000,
                }
                add(step, "eval", weights=weights, **figures)
    add(100, "event", event=end)
    (folder / "run.json").write_text(json.dumps(facts))
    lines = [json.dumps(record) + "\n" for record in records]
    (folder / "metrics.jsonl").write_text("".join(lines) + '{"step": 100, "epo')
    if classes:
        labels = np.repeat(np.arange(classes), 4)
        top5 = (labels[:, None] + np.arange(5)) % classes
        top5[:6, 0] = (labels[:6] + 1) % classes
        named = np.array([text, *(f"class number {i}" for i in range(1, classes))])
        np.savez_compressed(folder / "predictions.npz", labels=labels, top5=top5, classes=named)
    return folder


def read(folder: Path, **how: Any) -> RunFiles:
    return run_files.read(make_run(folder, **how))


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

    @property
    def drawn(self) -> list[str | None]:
        return [attributes["aria-label"] for tag, attributes in self.tags if tag == "svg"]

    def count(self, tag: str, style: str) -> int:
        return sum(t == tag and style in (a.get("class") or "").split() for t, a in self.tags)


class TestOneRun:
    def test_says_result_official_number_and_gap(self, tmp_path: Path) -> None:
        written = write_page(make_run(tmp_path / "rexnet_1.0-0a1b2c3d"))
        assert written == tmp_path / "rexnet_1.0-0a1b2c3d" / "report.html"
        shown = Page(written.read_text()).shown
        assert "rexnet_1.0-0a1b2c3d finished rexnet_1.0 on ImageNet-1k · 10 epochs · seed 7" in shown
        assert "this run 65.00 90.00 95 % interval 64.58 to 65.42 89.73 to 90.26" in shown
        assert "official 77.90 93.90 gap to official -12.90 -3.90" in shown
        assert "gap to earlier attempt -7.40" in shown
        assert "EMA weights at epoch 10.00, 50,000 images" in shown
        assert "2 ranks x 16 images x 2 accumulated = 64" in shown
        assert "2 x rexnet_1.0" in shown and "a processor" in shown  # the devices
        assert "source revision 1f2e3d4" in shown and "torch 2.13.0" in shown
        assert '"seed": 7' in shown

    def test_draws_the_curves(self, tmp_path: Path) -> None:
        page = Page(render([read(tmp_path / "run")]))
        learning, schedule = ["Acc@1", "Acc@5", "Loss"], ["Learning rate", "Image size"]
        assert page.drawn == ["Acc@1 against the official figure", *learning, *schedule, "Throughput"]
        assert page.count("line", "official") == 3 and page.count("line", "earlier") == 2
        assert page.count("line", "mark") == 5  # where it was resumed; not on the size that it was asked for
        assert page.count("line", "whisker") == 1

    def test_what_is_expected_and_held_out_images_are_drawn_beside(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run")
        record = json.loads((folder / "run.json").read_text())
        record["expected"] = {"points": [[1, 40.0], [2.5, 50.0], [5, 60.0], [10, 75.0]]}
        (folder / "run.json").write_text(json.dumps(record))
        clock = {"step": 30, "epoch": 3.0, "images_seen": 1920, "kind": "eval", "time": 1e9 + 30}
        lines = (folder / "metrics.jsonl").read_text().splitlines()[:-1]  # the last one is cut off
        lines += [json.dumps({**clock, "weights": "ema", "held-out/acc1": acc1}) for acc1 in (44.0, 45.0)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        page = Page(render([run_files.read(folder)]))
        (drawn,) = (a["points"] for tag, a in page.tags if tag == "polyline" and a["class"] == "expected")
        assert len(str(drawn).split()) == 4
        assert "expected" in page.shown and "held-out images" in page.shown

    def test_before_the_headline_is_measured_there_is_none(self, tmp_path: Path) -> None:
        """Of a run that has only looked at the images it holds out."""
        folder = make_run(tmp_path / "run")
        (folder / "metrics.jsonl").write_text(
            (folder / "metrics.jsonl").read_text().replace('"eval/', '"held-out/')
        )
        assert "no evaluation yet" in Page(render([run_files.read(folder)])).shown

    def test_weights_that_nothing_averages_are_not_called_ema(self, tmp_path: Path) -> None:
        run = read(tmp_path / "run")
        assert run.called("ema") == "EMA weights" and run.called("model") == "trained weights"
        plain = replace(run, facts=run.facts | {"run": {"ema": {"half_life": 0}}})
        assert plain.called("ema") == "trained weights"

    def test_whatever_a_run_measures_of_speed_and_health_is_shown(self, tmp_path: Path) -> None:
        folder = make_run(
            tmp_path / "run", health_restarts=1, cost_gpu_memory_gib=11.625, speed_step_ms_p50=120.0
        )
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()[:-1]]
        for record in records:
            if record["kind"] == "train":
                record |= {
                    "cost/goodput": 0.9 + record["step"] / 1000,
                    "cost/gpu_hours": record["step"] / 50,
                    "health/new_thing": record["step"],
                    "speed/step_ms_p95": 150.0,
                    "speed/slowest_rank": 1,
                    "speed/slowest_host": "node07",
                }
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
        page = Page(render([run_files.read(folder)]))
        assert page.drawn[6:] == ["Throughput", "Step time", "Goodput", "New thing"]
        assert "% of wall time" in page.shown and "median 95th percentile" in page.shown
        assert "Bad images 0 · Restarts 1 · GPU memory 11.62 GiB · GPU-hours 2.00 h" in page.shown

    def test_without_official_numbers_none_is_shown(self, tmp_path: Path) -> None:
        page = Page(render([read(tmp_path / "run", imagenet=False)]))
        assert "official" not in page.shown and "gap to" not in page.shown
        assert "95 % interval 64.58 to 65.42" in page.shown
        assert page.count("line", "official") == page.count("line", "earlier") == 0

    def test_few_classes_are_all_shown(self, tmp_path: Path) -> None:
        page = Page(render([read(tmp_path / "run", classes=3, imagenet=False)]))
        assert "Acc@1 of each class % rexnet_1.0 0.0 class number 1 50.0 class number 2 100.0" in page.shown
        assert "rexnet_1.0 class number 1 4 100.0 %" in page.shown
        assert "class number 1 class number 2 2 50.0 %" in page.shown

    def test_of_many_classes_the_weakest_and_the_curve(self, tmp_path: Path) -> None:
        page = Page(render([read(tmp_path / "run", classes=1000)]))
        assert page.drawn[-1] == "Classes by Acc@1" and "The 16 weakest of 1,000 classes" in page.shown
        assert page.count("i", "s0") == 16

    def test_everything_is_escaped(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "<b>run", text=EVIL, classes=5)
        (folder / "attempt.json").write_text(json.dumps({"state": EVIL, "message": EVIL}))
        stopped = run_files.read(folder)
        stopped.records[-1]["event"] = "stop"
        for runs in ([run_files.read(folder)], [stopped], [stopped, stopped]):
            page = Page(render(runs))
            assert not {"script", "img"} & {tag for tag, _ in page.tags}
            assert page.shown.count(EVIL) >= 3 and "<b>run" in page.shown
            assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert Page(render([run_files.read(folder)])).shown.count(EVIL) >= 6  # classes and device, too

    def test_a_name_that_is_no_text_can_be_written(self, tmp_path: Path) -> None:
        page = write_page(make_run(tmp_path / "run", text="odd \udcff", classes=5)).read_text()
        assert page.count("odd \\udcff") > 3

    def test_nothing_is_loaded_from_elsewhere(self, tmp_path: Path) -> None:
        for runs in (1, 2):
            page = render([read(tmp_path / f"{runs}{i}", classes=30) for i in range(runs)])
            assert not re.search(r"https?:|url\(|@import|//", re.sub(r"/data/|//\d", "", page))
            assert not any({"src", "href"} & set(attributes) for _, attributes in Page(page).tags)
            assert "default-src 'none'" in page

    def test_a_run_that_has_only_begun(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run")
        (folder / "metrics.jsonl").unlink()
        shown = Page(render([run_files.read(folder)])).shown
        assert "running" in shown and "no evaluation yet" in shown

    def test_a_run_to_be_resumed_says_why_and_shows_no_classes(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run", end="stop", classes=3)
        (folder / "attempt.json").write_text(
            '{"state": "requeue", "message": "stopped as asked", "step": 100}'
        )
        shown = Page(render([run_files.read(folder)])).shown
        assert "to be resumed" in shown and "stopped as asked" in shown
        assert "Classes" not in shown  # those are of an attempt that did not get to its end

    def test_pauses_between_attempts_are_not_time_spent(self, tmp_path: Path) -> None:
        run = read(tmp_path / "run")
        before = time_spent(run)
        at = next(i for i, r in enumerate(run.records) if r.get("event") == "resume")
        for record in run.records[at:]:
            record["time"] += 7200
        assert time_spent(run) == before == 100.0

    def test_the_headline_is_of_the_averaged_weights(self, tmp_path: Path) -> None:
        run = read(tmp_path / "run")
        assert headline(run)["weights"] == "ema" and headline(run)["step"] == 100

    @pytest.mark.parametrize("name", ["run.json", "attempt.json", "predictions.npz"])
    def test_a_damaged_file_is_named(self, tmp_path: Path, name: str) -> None:
        folder = make_run(tmp_path / "run", classes=3)
        (folder / name).write_bytes(b"PK\3\4 not what it was")
        with pytest.raises(ValueError, match=f"{re.escape(name)} is damaged"):
            run_files.read(folder)


class TestSeveralRuns:
    def test_they_overlay_in_their_colours_with_a_legend(self, tmp_path: Path) -> None:
        folders = [make_run(tmp_path / name, better=i, classes=30) for i, name in enumerate("ab")]
        written = write_page(*folders, out=tmp_path / "new" / "both.html")
        page = Page(written.read_text())
        assert page.shown.startswith("2 runs a: rexnet_1.0 on ImageNet-1k")
        curves = ["Acc@1", "Acc@5", "Loss in evaluation", "Loss in training", "Learning rate", "Image size"]
        assert page.drawn == ["Acc@1 against the official figure", *curves, "Throughput", "Classes by Acc@1"]
        assert page.count("polyline", "s0") == page.count("polyline", "s1") + 0 >= 8
        assert page.count("line", "mark") == 0 and page.count("line", "whisker") == 2
        assert page.count("span", "s0") == page.count("span", "s1") == 3  # legend, table, confusions
        assert "a 65.00 64.58 to 65.42 -12.90" in page.shown and "b 66.00" in page.shown
        assert "What differs a b optim.lr 0.1 1.1" in page.shown

    def test_of_several_variants_each_has_its_official_number(self, tmp_path: Path) -> None:
        runs = [read(tmp_path / name, text=name) for name in ("rexnet_1.0", "rexnet_1.3")]
        runs[1].facts["official"] = {"acc1": 79.5, "acc5": 94.7}
        page = Page(render(runs))
        assert "official 77.90, rexnet_1.0" in page.shown and "official 79.50, rexnet_1.3" in page.shown

    def test_runs_of_one_name_are_told_apart(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / name).mkdir()
        folders = [make_run(tmp_path / name / "run") for name in "ab"]
        assert [run.name for run in run_files.read_all(folders)] == [str(folder) for folder in folders]

    def test_the_same_run_twice_differs_in_nothing(self, tmp_path: Path) -> None:
        run = read(tmp_path / "run")
        assert "The runs are the same in all that makes a run." in Page(render([run, run])).shown


class TestCommandLine:
    def run(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=60
        )

    def test_writes_pages_and_says_where(self, tmp_path: Path) -> None:
        a, b = (make_run(tmp_path / name) for name in "ab")
        done = self.run(a, cwd=Path("/"))
        assert (done.returncode, done.stdout) == (0, f"{a / 'report.html'}\n")
        both = self.run(a, b, cwd=tmp_path)
        assert (both.returncode, both.stdout) == (0, "comparison.html\n")
        assert "2 runs" in (tmp_path / "comparison.html").read_text()

    def test_one_sentence_for_a_mistake(self, tmp_path: Path) -> None:
        wrong = self.run(tmp_path, cwd=tmp_path)
        assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
        assert wrong.stderr.startswith("report.py: ") and "has no run.json" in wrong.stderr


class TestEnding:
    def test_a_finished_run_in_lines(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run", health_skipped_steps=3, speed_data_wait=0.015)
        assert ending_lines(run_files.read(folder), folder=Path("runs/x")) == [
            "Acc@1          65.00 %, 95 % interval 64.58 to 65.42; official 77.90 %, gap -12.90",
            "Acc@5          90.00 %, 95 % interval 89.73 to 90.26; official 93.90 %, gap -3.90",
            "weights        final EMA weights, over 50,000 images",
            "time           1 min 40 s, 100 of 100 steps, in 2 attempts",
            "speed          155 images/s, data wait 1.5 %",
            "skipped steps  3",
            "bad images     0",
            "folder         runs/x",
            "report         runs/x/report.html",
        ]

    def test_one_that_was_stopped_has_no_result(self, tmp_path: Path) -> None:
        lines = ending_lines(read(tmp_path / "run", end="stop"), folder=Path("runs/x"))
        assert not any("Acc@" in line for line in lines) and "100 of 100 steps" in lines[0]

    def test_a_page_that_cannot_be_made_fails_no_run(self, tmp_path: Path) -> None:
        folder, said = make_run(tmp_path / "run", classes=3), list[str]()
        (folder / "predictions.npz").write_bytes(b"damaged")
        tell_ending(folder, say=said.append)
        (line,) = said
        assert "predictions.npz is damaged" in line
        assert line.endswith(f"To try again: python launch/report.py {folder}")


class TestClasses:
    GUESSES = Guesses(
        labels=np.array([0, 0, 0, 1, 1, 3]),
        top5=np.array([[0], [1], [1], [1], [0], [-1]]).repeat(5, axis=1),
        classes=("a", "b", "empty", "d"),
    )

    def test_hits_are_counted_by_class(self) -> None:
        assert by_class(self.GUESSES) == [Class("a", 3, 1), Class("b", 2, 1), Class("d", 1, 0)]
        assert hits(self.GUESSES) == 2

    def test_pairs_are_counted_most_first_and_bad_images_are_none(self) -> None:
        assert confusions(self.GUESSES, most=9) == [Confusion("a", "b", 2, 3), Confusion("b", "a", 1, 2)]
        assert confusions(self.GUESSES, most=1) == [Confusion("a", "b", 2, 3)]

    def test_predictions_without_names_have_numbers(self, tmp_path: Path) -> None:
        folder = make_run(tmp_path / "run", classes=3)
        with np.load(folder / "predictions.npz") as file:
            np.savez(folder / "predictions.npz", labels=file["labels"], top5=file["top5"])
        guesses = run_files.read(folder).guesses
        assert guesses is not None and guesses.classes == ("class 0", "class 1", "class 2")


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
        assert [label(v, [0, 25_000, 50_000]) for v in (0, 25_000, 50_000)] == ["0", "25k", "50k"]
        assert [label(v, [0, 5e6, 1e7]) for v in (0, 5e6, 1e7)] == ["0", "5M", "10M"]

    def test_a_long_line_is_thinned_and_keeps_its_spikes(self) -> None:
        points = [(float(x), 100.0 if x == 31_417 else math.sin(x / 1000)) for x in range(100_000)]
        (kept,) = pieces(points)
        assert len(kept) <= POINTS + 2
        assert (31_417.0, 100.0) in kept
        assert kept == sorted(kept)

    def test_what_is_missing_breaks_the_line(self) -> None:
        points = [(0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, math.nan), (4.0, 5.0)]
        assert pieces(points) == [[(0.0, 1.0), (1.0, 2.0)], [(4.0, 5.0)]]

    @pytest.mark.parametrize(
        ("style", "way"),
        [("s0", "46.0,176.0 390.0,16.0"), ("s0 steps", "46.0,176.0 390.0,176.0 390.0,16.0")],
    )
    def test_points_stand_where_their_values_are(self, style: str, way: str) -> None:
        line = Line(name="n", points=[(0.0, 0.0), (10.0, 4.0)], style=style)
        page = Page(Chart(title="t", lines=[line], low=0.0).svg())
        assert [a["points"] for tag, a in page.tags if tag == "polyline"] == [way]  # corner to corner

    def test_levels_that_lie_close_have_names_apart(self) -> None:
        line = Line(name="n", points=[(0.0, 0.0), (10.0, 80.0)])
        levels = [Level(value=77.9, name="official"), Level(value=77.2, name="earlier")]
        svg = Chart(title="t", lines=[line], levels=levels).svg()
        named = re.findall(r'y="([\d.]+)">(official|earlier)', svg)
        assert [name for _, name in named] == ["earlier", "official"]
        assert float(named[0][0]) - float(named[1][0]) > 12

    def test_nothing_to_draw(self) -> None:
        assert Chart(title="t", lines=[Line(name="n", points=[(1.0, None), (2.0, math.nan)])]).svg() == ""


@pytest.mark.parametrize(
    ("acc", "low", "high"), [(50.0, 40.38, 59.62), (0.0, 0.0, 3.70), (100.0, 96.30, 100.0)]
)
def test_confidence_interval(acc: float, low: float, high: float) -> None:
    """Wilson's interval of 50, 0 and 100 of 100, as statistics packages give it."""
    found = result_interval({"eval/acc1": acc, "eval/images": 100}, "acc1")
    assert found == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


MEASURE = """
const found = {};
for (const frame of document.querySelectorAll("iframe")) {
  const inside = frame.contentDocument, all = [...inside.querySelectorAll("*")];
  const box = e => e.getBoundingClientRect(), look = e => frame.contentWindow.getComputedStyle(e);
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const page = light(look(inside.body).backgroundColor);
  const contrast = c => { const l = light(c); return (Math.max(l, page) + .05) / (Math.min(l, page) + .05); };
  const texts = [...inside.querySelectorAll("svg text")].filter(t => t.textContent);
  const overlaps = [];
  for (const svg of inside.querySelectorAll("svg")) {
    const within = texts.filter(t => t.ownerSVGElement === svg);
    within.forEach((a, i) => within.slice(i + 1).forEach(b => {
      if (meet(box(a), box(b))) overlaps.push(a.textContent + " | " + b.textContent); }));
  }
  found[frame.name] = {
    wide: inside.documentElement.scrollWidth - frame.clientWidth,
    flat: [...inside.querySelectorAll("svg")].filter(s => box(s).height < 40 || box(s).width < 200).length,
    small: texts.filter(t => box(t).height < 10).map(t => t.textContent),
    overlaps,
    cut: [...inside.querySelectorAll(".wide")].filter(e => e.scrollWidth > e.clientWidth)
      .map(e => e.firstChild.className),
    faint: [...inside.querySelectorAll("h1, h2, h3, th, td, p, b, .unit, .key")]
      .filter(e => contrast(look(e).color) < 4.5).map(e => e.textContent).concat(
      texts.filter(t => contrast(look(t).fill) < 4.5).map(t => t.textContent)),
    lines: [...new Set([...inside.querySelectorAll("polyline")].map(e => look(e).stroke))]
      .filter(c => contrast(c) >= 2).length,
    dark: page < .1,
    svgs: inside.querySelectorAll("svg").length,
    bad: inside.querySelectorAll("script, img").length,
  };
}
document.body.textContent = JSON.stringify(found);
"""
WIDTHS = (1280, 800, 375)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_it(tmp_path: Path, scheme: str) -> None:
    """At every width nothing hangs over or lies on another; in both schemes all can be read."""
    one = make_run(tmp_path / "one", classes=5, text="<img src=x onerror=alert(1)>")
    two = [make_run(tmp_path / f"run-{i}-0123abcd", better=i, classes=1000) for i in range(2)]
    pages = {"one": write_page(one), "two": write_page(*two, out=tmp_path / "two.html")}
    frames = ""
    for name, page in pages.items():
        content = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text())  # it would forbid looking inside
        for width in WIDTHS:
            frames += (
                f'<iframe name="{name} {width}" width="{width}" height="900" style="border: 0" '
                f'srcdoc="{html.escape(content)}"></iframe>'
            )
    around = tmp_path / "around.html"
    around.write_text(f"<body>{frames}<script>window.onload = () => {{ {MEASURE} }}</script></body>")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars", "--virtual-time-budget=5000"]
    command += [f"--blink-settings=preferredColorScheme={int(scheme == 'light')}", "--dump-dom"]
    seen = subprocess.run(
        [*command, around.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    found = json.loads(html.unescape(re.sub(r"<[^>]+>", "", seen)))
    assert len(found) == 6
    for name, measured in found.items():
        assert set(measured["cut"]) <= ({"events"} if name.startswith("one") else {"events", "figures"})
        wanted = {"wide": 0, "flat": 0, "small": [], "overlaps": [], "faint": [], "bad": 0}
        assert {key: measured[key] for key in wanted} == wanted, name
        assert measured["dark"] == (scheme == "dark") and measured["lines"] >= 2
        assert measured["svgs"] == {"one": 7, "two": 9}[name.split()[0]]
