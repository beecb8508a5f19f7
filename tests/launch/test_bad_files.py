"""Bad files in a run: named once by rank 0 whoever met them, counted, and missed in evaluation."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import synthetic
from pipeline.index import open_splits
from tests.launch.program import command, environment, records, run
from tests.launch.test_resume import kill_at

FLAGS = (
    *("--epochs", 2, "--batch", 16, "--micro-batch", 4, "--image-size", 32, "--variant", "rexnet_0.2"),
    *("--log-every", 2, "--max-bad", 0.1, "--eval-size", 48, "--interpolation", "bilinear"),
)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


def cut_and_padded(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-300] + bytes(300))


def replaced_by_garbage(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    """Without a trace in the folder's time, or the folder would be indexed anew without the file."""
    before = path.parent.stat()
    path.unlink()
    os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def rotten(path: Path) -> None:
    """Nonsense in place of the first table of Huffman codes: only a decoder sees it."""
    content = path.read_bytes()
    table = content.index(b"\xff\xc4") + 5
    path.write_bytes(content[:table] + b"\xff" * 16 + content[table + 16 :])


HARM: dict[Callable[[Path], None], str] = {
    cut: "has 700 bytes, ",
    cut_and_padded: "has no end mark",
    replaced_by_garbage: "is no intact image",
    emptied: "is empty",
    removed: "is gone",
    rotten: "cannot be decoded",
}


def harm(split: Path) -> dict[str, str]:
    """Harms a file in every way; returns the files with the faults that are to be told."""
    files = sorted(split.rglob("*.jpg"))[2 :: len(sorted(split.rglob("*.jpg"))) // len(HARM)]
    for file, change in zip(files, HARM, strict=False):
        change(file)
    return {str(file): fault for file, fault in zip(files, HARM.values(), strict=False)}


def test_a_run_goes_on_over_bad_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = str(tmp_path / "cache")
    monkeypatch.setenv("REXNET_CACHE", cache)
    data = synthetic.make(tmp_path / "set", classes=3, train=90, val=30)
    texts = {split: sorted((data / split).rglob("*.jpg"))[1] for split in ("train", "val")}
    for file in texts.values():
        file.write_text("no image when it is indexed")
    _, val = open_splits(data, say=lambda line: None)
    fault = "is no intact image: neither JPEG nor PNG"
    wanted = {split: harm(data / split) | {str(file): fault} for split, file in texts.items()}
    folder = tmp_path / "run"
    done = run("train", "demo", "--data", data, "--out", folder, *FLAGS, processes=2, REXNET_CACHE=cache)
    assert done.returncode == 0, done.stderr

    events = [event for event in records(folder, "event") if event["event"] == "bad image"]
    for split, faults in wanted.items():
        told = {event["file"]: event["fault"] for event in events if event["split"] == split}
        assert told.keys() == faults.keys() and len(faults) == 7
        assert all(told[file].startswith(fault) for file, fault in faults.items())
    assert len(events) == 14  # each once, though every epoch meets them again
    log = (folder / "log.txt").read_text()
    assert all(
        log.count(event["file"] + " ") == done.stdout.count(event["file"] + " ") == 1 for event in events
    )

    train, evaluations = records(folder, "train"), records(folder, "eval")
    counts = [line["health/bad_images"] for line in train]
    first = next(line["step"] for line in evaluations)
    assert counts == sorted(counts) and [
        c for c, line in zip(counts, train, strict=True) if line["step"] > first
    ]
    assert (
        counts[-1] == 14
        and max(c for c, line in zip(counts, train, strict=True) if line["step"] <= first) == 7
    )
    assert [line["eval/images"] for line in evaluations] == [30] * len(evaluations)
    kept = np.load(folder / "predictions.npz")
    lost = [i for i in range(30) if str(val.path(i)) in wanted["val"]]
    assert (kept["top5"][lost] == -1).all() and (np.delete(kept["top5"], lost, axis=0) >= 0).all()
    assert evaluations[-1]["eval/acc5"] == pytest.approx(100 * 23 / 30)  # three classes: all others are hits

    model, settings = (
        folder / "model.safetensors",
        ("--image-size", 48, "--crop-ratio", 1, "--interpolation", "bilinear", "--eval-batch", 4),
    )
    scored = run(
        "evaluate", "rexnet_0.2", "--weights", model, "--data", data, *settings,
        cwd=tmp_path, REXNET_CACHE=cache,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    result = json.loads(scored.stdout.splitlines()[-1])
    assert (result["images"], result["hits5"], result["acc1"]) == (30, 23, evaluations[-1]["eval/acc1"])
    loss = evaluations[-1]["eval/loss"]
    assert result["loss"] == pytest.approx(loss, rel=1e-4)  # of this size and filter
    assert {bad["file"] for bad in result["bad_images"]} == wanted["val"].keys()
    assert all(scored.stdout.count(f"bad image, counted as a miss: {file} ") == 1 for file in wanted["val"])
    assert "30 images, 7 of them bad" in scored.stdout


@pytest.mark.slow
def test_a_killed_run_keeps_its_list_and_names_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    data = synthetic.make(tmp_path / "set", classes=3, train=90, val=30)
    open_splits(data, say=lambda line: None)
    wanted = {split: harm(data / split) for split in ("train", "val")}
    folder = tmp_path / "run"
    flags = (*FLAGS, "--checkpoint-minutes", 0)
    arguments = command("train", "demo", "--data", data, "--out", folder, *flags)
    kill_at(4, arguments, folder)
    held = torch.load(folder / "last.pt", weights_only=True)["state"]
    assert 2 <= held["step"] < 12 and not (folder / "model.safetensors").exists()
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=240)
    assert done.returncode == 0 and f"resume at step {held['step']}" in done.stdout, done.stderr

    events = [event for event in records(folder, "event") if event["event"] == "bad image"]
    told = sorted((event["split"], event["file"]) for event in events)
    assert told == sorted((split, file) for split, files in wanted.items() for file in files)
    before = [event["file"] for event in events if event["step"] <= held["step"]]
    assert before and not any(f"{file} " in done.stdout for file in before)
    assert all(done.stdout.count(f"{e['file']} ") == 1 for e in events if e["step"] > held["step"])
    counts = [line["health/bad_images"] for line in records(folder, "train")]
    assert counts == sorted(counts) and counts[-1] == 12
