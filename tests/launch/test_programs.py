"""The programs from end to end, as a user starts them, on a small tree of mixed images."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launch.finishing import result_line
from launch.predict_request import PredictRequest
from launch.prediction import predict
from pipeline import synthetic
from rexnet.metadata import read_class_names
from tests.launch.metric_names import documented
from tests.launch.program import records, run

SMALL = ("--variant", "rexnet_0.2", "--image-size", 32, "--batch", 16, "--micro-batch", 8, "--log-every", 4)

CLASS = "<img src=x onerror=alert(1)>"
SECRET = "planted-0123456789abcdef"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train|val/[class_id]/*.{jpg,png,jpeg}, with grayscale, CMYK and transparent images among them."""
    made = synthetic.make(tmp_path_factory.mktemp("programs") / "set", classes=3, train=90, val=30)
    for number, file in enumerate(sorted(made.rglob("*.jpg"))):
        with Image.open(file) as opened:
            image = opened.copy()
        if number % 5 == 0:
            image.convert("RGBA").save(file.with_suffix(".png"))
            file.unlink()
        elif number % 5 == 1:
            file.rename(file.with_suffix(".JPEG"))
        elif number % 5 == 2:
            image.convert("CMYK").save(file.with_suffix(".jpeg"))
            file.unlink()
        elif number % 5 == 3:
            image.convert("L").save(file)
    for split in ("train", "val"):
        folder = sorted((made / split).iterdir())[0]
        folder.rename(folder.with_name(CLASS))
    return made


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("trained")
    flags = ["--data", data, *SMALL, "--epochs", 2]
    done = run("train", "demo", *flags, processes=2, cwd=place, SOME_API_KEY=SECRET)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (place / "runs").iterdir()
    return folder, done.stdout


def test_a_mixed_tree_trains_and_leaves_the_folder(trained: tuple[Path, str]) -> None:
    folder, shown = trained
    wanted = (
        "run.json attempt.json metrics.jsonl log.txt last.pt previous.pt model.safetensors predictions.npz"
    )
    assert {*wanted.split(), "report.html"} <= {path.name for path in folder.iterdir()}
    assert not (folder / "images.png").exists()  # only where it is asked for
    facts = json.loads((folder / "run.json").read_text())
    assert folder.name == f"demo-{facts['identity']}"
    assert facts["plan"] == {
        "nodes": 1,
        "ranks": 2,
        "batch": 16,
        "micro_batch": 8,
        "accumulation": 1,
        "steps": 12,
        "steps_per_epoch": 5.625,
    }
    assert facts["data"]["train_images"] == 90 and facts["data"]["name"] is None and facts["official"] is None
    assert "1 node x 2 processes x 8 images x 1 accumulated = batch 16" in shown
    assert shown.count("Run folder") == 1
    assert "Acc@1" in (folder / "log.txt").read_text()
    attempt = json.loads((folder / "attempt.json").read_text())
    assert attempt["state"] == "done" and attempt["step"] == 12


def test_a_run_ends_with_its_summary_on_the_terminal_and_in_the_log(trained: tuple[Path, str]) -> None:
    folder, shown = trained
    logged = (folder / "log.txt").read_text()
    summary = shown[shown.rindex("\nAcc@1 ") :]
    names = "Acc@1 Acc@5 weights time speed skipped bad folder report"
    assert [line.split()[0] for line in summary.split("\n") if line] == names.split()
    assert logged.endswith(summary) and str(Path("runs") / folder.name / "report.html") in summary
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown + logged)


def test_what_is_left_tells_no_secret_and_runs_no_code(trained: tuple[Path, str]) -> None:
    folder, shown = trained
    left = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(left) >= 9 and not any(SECRET.encode() in content for content in [*left, shown.encode()])
    page = (folder / "report.html").read_text()
    assert CLASS not in page and page.count(html.escape(CLASS)) >= 1
    assert CLASS in np.load(folder / "predictions.npz")["classes"].tolist()


def test_metrics_have_the_names_they_should(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    train, evals = records(folder, "train"), records(folder, "eval")
    assert [r["step"] for r in train] == [4, 6, 8, 12]
    assert all(r["images_seen"] == 16 * r["step"] and r["epoch"] == 16 * r["step"] / 90 for r in train)
    written = {name for record in (*train, *evals) for name in record if "/" in name}
    missing = {f"official/{name}" for name in ("acc1", "acc5")} | {"gap/acc1", "gap/acc5", "earlier/acc1"}
    missing |= {"cost/gpu_memory_gib", "cost/joules", "cost/energy_kwh"}  # this data and machine have none
    missing |= {"expected/acc1"}  # for W&B alone
    late = {"cost/checkpoint_s", "cost/checkpoint_stall_s"}  # where a checkpoint is written by then
    assert documented().keys() - missing - late <= written <= documented().keys() - missing
    assert [(r["step"], r["weights"]) for r in evals] == [(6, "ema"), (12, "model"), (12, "ema")]
    assert all(
        r["eval/images"] == 30 and not any(k.startswith(("official", "gap")) for k in r) for r in evals
    )


def test_predictions_give_the_reported_accuracy(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    kept = np.load(folder / "predictions.npz")
    assert kept["ids"].tolist() == list(range(30))
    final = records(folder, "eval")[-1]
    assert final["eval/acc1"] == pytest.approx(100 * (kept["top5"][:, 0] == kept["labels"]).mean())


def test_predict_gives_the_predictions_of_the_last_evaluation(
    trained: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = trained
    val = Path(json.loads((folder / "run.json").read_text())["run"]["data"]) / "val"
    assert predict(PredictRequest(files=(val,), weights=folder, json=True)) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    with np.load(folder / "predictions.npz") as kept:
        top5, probabilities, classes = kept["top5"], kept["probabilities"], kept["classes"].tolist()
    assert read_class_names(folder / "model.safetensors") == classes
    assert [[guess["class"] for guess in answer["top"]] for answer in found] == top5.tolist()
    assert [answer["top"][0]["name"] for answer in found] == [classes[i] for i in top5[:, 0]]
    shares = np.array([[guess["probability"] for guess in answer["top"]] for answer in found])
    assert np.abs(shares - probabilities).max() < 1e-5


def test_evaluate_gives_the_reported_accuracy_for_any_world(
    trained: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    folder, _ = trained
    final = records(folder, "eval")[-1]
    for processes in (0, 2):
        weights = folder / "model.safetensors"
        flags = ["--weights", weights, "--data", data, "--image-size", 32, "--crop-ratio", 1.0]
        done = run("evaluate", "rexnet_0.2", *flags, processes=processes, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["images"] == 30
        assert result["acc1"] == pytest.approx(final["eval/acc1"])
        assert result["acc5"] == pytest.approx(final["eval/acc5"])
        assert result["loss"] == pytest.approx(final["eval/loss"], rel=1e-5)


@pytest.mark.slow
def test_from_repeats_a_run_bit_by_bit(trained: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = trained
    done = run("train", "--from", folder / "run.json", processes=2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    again = tmp_path / "runs" / folder.name
    first, second = np.load(folder / "predictions.npz"), np.load(again / "predictions.npz")
    assert first["probabilities"].tobytes() == second["probabilities"].tobytes()


@pytest.mark.parametrize("processes", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_smoke_ends_well(data: Path, tmp_path: Path, processes: int) -> None:
    done = run("train", "demo", "--data", data, *SMALL, "--smoke", processes=processes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    last = done.stdout.splitlines()[-1].split()
    assert last[:2] == ["SMOKE", "OK"] and float(last[2]) > 0 and last[3] == "images/s"
    assert json.loads(next(tmp_path.glob("runs/*-smoke/attempt.json")).read_text())["step"] == 25


def test_dry_run_resolves_without_training(data: Path, tmp_path: Path) -> None:
    done = run("train", "rexnet_2.0", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "112603 = 90 epochs x 1251.14" in done.stdout and "GiB per process" in done.stdout
    assert '"weight_decay"' in done.stdout and "not measured" in done.stdout
    small = run("train", "demo", "--data", data, *SMALL, "--dry-run", cwd=tmp_path)
    assert small.returncode == 0 and "90 in 3 classes" in small.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_profile_writes_a_trace_with_named_ranges(data: Path, tmp_path: Path) -> None:
    done = run("train", "demo", "--data", data, *SMALL, "--profile", 2, processes=2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    trace = next(tmp_path.glob("runs/*-profile/trace.json")).read_text()
    for name in ("data", "forward", "backward", "all-reduce", "optimizer"):
        assert f'"name": "{name}"' in trace, name
    assert "forward" in next(tmp_path.glob("runs/*-profile/table.txt")).read_text()


def test_result_stands_beside_the_official_number_on_imagenet() -> None:
    from types import SimpleNamespace

    from launch.engine.metrics import Score

    score = Score(hits1=38000, hits5=46500, images=50000, loss=1.0)
    official = {"official/acc1": 77.9, "official/acc5": 93.9}

    def session(references: dict[str, float]) -> SimpleNamespace:
        run, data = SimpleNamespace(variant="rexnet_1.0"), SimpleNamespace(references=lambda _: references)
        return SimpleNamespace(run=run, data=data)

    line = result_line(session(official), score)  # type: ignore[arg-type]
    assert "76.00" in line and "official 77.90 / 93.90" in line and "gap -1.90" in line
    assert "official" not in result_line(session({}), score)  # type: ignore[arg-type]
