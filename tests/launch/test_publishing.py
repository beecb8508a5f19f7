"""Results rows: what of a run is published, what is refused, and the README's tables made from them."""

import hashlib
import json
import platform
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch.cli import read_command
from launch.config import Run, fields_identity, identity_fields, to_plain
from launch.facts import processor
from launch.publishing import command, publish
from launch.recipes import RECIPES
from tests import results

DEMO = RECIPES["demo"].run


def finished(folder: Path, run: Run = DEMO, data: str | None = None, **facts: Any) -> Path:
    """A finished run of the demo whose predictions have 9 of 12 images right."""
    folder.mkdir(parents=True)
    fields = identity_fields(run)
    content = {
        "recipe": run.recipe,
        "identity": fields_identity(fields, train="ab12", val="cd34"),
        "variant": run.variant,
        "run": to_plain(run) | {"data": data},
        "identity_fields": fields,
        "data": {"name": None, "classes": 3, "train_identity": "ab12", "val_identity": "cd34"},
        "plan": {"nodes": 1, "ranks": 1, "steps": 625},
        "versions": {"python": "3.11.7", "torch": "2.13.0", "nvidia-dali-cuda120": "2.2.0"},
        "git": "1f2e3d4c5b6a",
        "devices": ["CPU"],
        "found": {"device": "cpu", "precision": "fp32"},
        "machine": {"cpu": "AMD EPYC", "cores": 2},
        "restarts": 0,
    }
    (folder / "run.json").write_text(json.dumps(content | facts))
    clock = {"step": 625, "epoch": 5.0, "images_seen": 20_000}
    final = {"eval/acc1": 75.0, "eval/acc5": 100.0, "eval/images": 12, "weights": "ema", "final": 1}
    records = [
        {"step": 0, "epoch": 0.0, "kind": "event", "event": "start", "time": 1.7e9, "folder": str(folder)},
        {**clock, "kind": "eval", "time": 1.7e9 + 150, **final},
        {**clock, "kind": "event", "event": "end", "time": 1.7e9 + 150},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    labels = np.arange(12) % 3
    top5 = labels[:, None].repeat(3, axis=1)
    top5[:3, 0] = (labels[:3] + 1) % 3
    np.savez(folder / "predictions.npz", labels=labels, top5=top5, classes=np.array(["a", "b", "c"]))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def changed(folder: Path, **facts: Any) -> Path:
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | facts))
    return folder


class TestPublish:
    def test_writes_what_there_is_to_know(self, tmp_path: Path) -> None:
        folder = finished(tmp_path / "runs" / "demo-x")
        path = publish(folder, results=tmp_path / "results", link="https://example.org/a/model.safetensors")
        row = json.loads(path.read_text())
        assert path.name == f"demo-{row['identity']}.json"
        assert row.pop("settings") == identity_fields(DEMO)
        assert row == {
            "recipe": "demo",
            "variant": "rexnet_1.0",
            "data": None,
            "acc1": 75.0,
            "acc5": 100.0,
            "images": 12,
            "weights": "final EMA weights",
            "epochs": 5,
            "batch": 32,
            "seed": 0,
            "minutes": 2.5,
            "attempts": 1,
            "machine": "AMD EPYC, 2 cores",
            "precision": "fp32",
            "versions": {"python": "3.11.7", "torch": "2.13.0", "nvidia-dali-cuda120": "2.2.0"},
            "git": "1f2e3d4c5b6a",
            "date": "2023-11-14",
            "command": "torchrun launch/train.py demo",
            "identity": row["identity"],
            "sha256": hashlib.sha256(b"weights").hexdigest(),
            "link": "https://example.org/a/model.safetensors",
        }
        assert str(tmp_path) not in path.read_text()

    def test_the_data_keep_their_place_to_themselves(self, tmp_path: Path) -> None:
        row = publish(finished(tmp_path / "run", data="/home/somebody/secret"), results=tmp_path).read_text()
        assert "torchrun launch/train.py demo --data DIR" in row and "somebody" not in row

    def test_a_second_time_replaces_the_row(self, tmp_path: Path) -> None:
        folder = finished(tmp_path / "run")
        paths = {publish(folder, results=tmp_path / "results") for _ in range(2)}
        assert list((tmp_path / "results").iterdir()) == list(paths)

    @pytest.mark.parametrize(
        ("facts", "why"),
        [
            ({"git": "1f2e3d4+changes"}, "files that differ from revision 1f2e3d4"),
            ({"git": None}, "trained without git"),
            ({"identity": "00000000"}, r"run\.json was changed after the run"),
            ({"identity_fields": identity_fields(replace(DEMO, seed=3))}, "changed after the run"),
            ({"run": to_plain(replace(DEMO, epochs=300))}, "changed after the run"),
        ],
    )
    def test_a_run_that_cannot_be_trusted_is_refused(
        self, tmp_path: Path, facts: dict[str, Any], why: str
    ) -> None:
        folder = changed(finished(tmp_path / "run"), **facts)
        with pytest.raises(ValueError, match=why):
            publish(folder, results=tmp_path / "results")
        assert not (tmp_path / "results").exists()

    def test_an_unfinished_run_is_refused(self, tmp_path: Path) -> None:
        folder = finished(tmp_path / "run")
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        (folder / "metrics.jsonl").write_text("".join(lines[:-1]))
        with pytest.raises(ValueError, match="is not finished; the command that started it"):
            publish(folder, results=tmp_path)

    @pytest.mark.parametrize("kind", ["smoke", "profile"])
    def test_a_test_is_refused(self, tmp_path: Path, kind: str) -> None:
        folder = finished(tmp_path / f"demo-0123abcd-{kind}")
        with pytest.raises(ValueError, match="is a test of a few steps"):
            publish(folder, results=tmp_path)

    def test_metrics_are_held_against_the_predictions(self, tmp_path: Path) -> None:
        folder = finished(tmp_path / "run")
        metrics = (folder / "metrics.jsonl").read_text().replace('"eval/acc1": 75.0', '"eval/acc1": 99.0')
        (folder / "metrics.jsonl").write_text(metrics)
        with pytest.raises(ValueError, match=r"predictions 9 of 12 are right, by its metrics 12 of 12"):
            publish(folder, results=tmp_path)

    @pytest.mark.parametrize("name", ["model.safetensors", "predictions.npz"])
    def test_what_is_gone_is_named(self, tmp_path: Path, name: str) -> None:
        folder = finished(tmp_path / "run")
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{re.escape(name)} is gone"):
            publish(folder, results=tmp_path)

    @pytest.mark.parametrize(
        "link",
        [
            "http://example.org/a",
            "https://user:key@example.org/a",
            "https://a.org/b c",
            "a|b",
            "https://a.org/w?Signature=key",
        ],
    )
    def test_a_link_is_a_plain_address(self, tmp_path: Path, link: str) -> None:
        with pytest.raises(ValueError, match="must be an address of the kind https://host/path"):
            publish(finished(tmp_path / "run"), results=tmp_path, link=link)


@pytest.mark.parametrize(
    "arguments",
    [
        "demo --seed 3 --epochs 1.5 --optim.lr 0.05".replace("--optim.lr", "--lr"),
        "rexnet_2.0 --data DIR --micro-batch None --erasing 0.2 --precision fp16",
        "cifar10 --data DIR --variant rexnet_1.3 --half-life 0.3 --crop-ratio 0.9 --eval-size 64",
        "finetune --data DIR --init-weights None --num-classes 7",
        f"rexnet_1.0 --data DIR --init-weights FILE --init-sha256 {'0123456789abcdef' * 4}",
    ],
)
def test_the_command_of_a_row_starts_the_same_run(arguments: str) -> None:
    first = read_command(shlex.split(arguments))
    assert first is not None
    words = shlex.split(command(identity_fields(first.run), ranks=16, nodes=2))
    assert words[:4] == ["torchrun", "--nnodes=2", "--nproc-per-node=8", "launch/train.py"]
    again = read_command(words[4:])
    assert again is not None and identity_fields(again.run) == identity_fields(first.run)


def test_the_processor_is_named_as_it_names_itself(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC 7B13 \nprocessor\t: 1\n")
    assert processor(tmp_path / "cpuinfo") == "AMD EPYC 7B13"
    assert processor(tmp_path / "none") == platform.machine()


class TestTables:
    VARIANTS = json.loads((Path(__file__).parents[2] / "rexnet" / "variants.json").read_text())

    def row(self, **more: Any) -> dict[str, Any]:
        return {
            "recipe": "demo",
            "variant": "rexnet_1.0",
            "data": None,
            "acc1": 99.0,
            "acc5": 100.0,
            "seed": 0,
            "minutes": 3.0,
            "machine": "AMD EPYC, 2 cores",
            "versions": {"torch": "2.13.0", "nvidia-dali-cuda120": "2.2.0"},
            "date": "2026-11-26",
            "settings": identity_fields(DEMO),
            "command": "torchrun launch/train.py demo",
            "sha256": "0123456789abcdef" * 4,
            "link": None,
        } | more

    def test_seeds_of_one_recipe_and_machine_are_one_line(self) -> None:
        rows = [self.row(), self.row(seed=1, acc1=98.0, minutes=4.0, date="2026-11-27")]
        line = "| `demo` | 98.50 ± 0.71 | 100.00 ± 0.00 | 0, 1 | 3.5 | AMD EPYC, 2 cores | "
        assert line + "torch 2.13.0, DALI 2.2.0 | 2026-11-27 |\n" in results.small_table(rows)

    def test_other_settings_and_machines_are_other_lines(self) -> None:
        longer = identity_fields(replace(DEMO, epochs=9))
        mine = self.row(command="torchrun launch/train.py demo --data DIR")
        half, newer = self.row(precision="fp16"), self.row(versions={"torch": "2.14.0"})
        rows = [self.row(), self.row(settings=longer), self.row(machine="another"), mine, half, newer]
        lines = results.small_table(rows).splitlines()
        names = ["| `demo`", "| `demo --epochs 9`", "| `demo`", "| `demo --data DIR`", "| `demo`", "| `demo`"]
        assert [line.split(" | ")[0] for line in lines[2:8]] == names

    def test_what_has_no_result_says_so(self) -> None:
        lines = results.small_table([]).splitlines()[2:]
        assert [line.split("| ")[1].strip() for line in lines] == [
            "`demo`",
            "`cifar10`",
            "`cifar10-plain`",
            "stock trainer, `cifar10`'s budget",
        ]
        assert all("not yet run" in line for line in lines)

    def test_imagenet_results_stand_beside_the_official_ones(self) -> None:
        recipe = identity_fields(RECIPES["rexnet_1.0"].run)
        ours = {"recipe": "rexnet_1.0", "data": "imagenet-1k", "acc1": 75.5, "acc5": 92.5, "settings": recipe}
        linked = self.row(**ours, link="https://example.org/w")
        table = results.imagenet_table(self.VARIANTS, [linked, self.row()])
        assert (
            "| ReXNet_1.0 | 75.50 | 92.50 | 4.8M | 0.40G | [file](https://example.org/w), "
            "sha256 `0123456789abcdef` | 77.9 | 93.9 | 72.4 |\n"
        ) in table
        assert "| ReXNet_1.3 | not yet run | not yet run | 7.6M |" in table
        assert "ReXNet_1.0" not in results.small_table([linked])


@pytest.mark.parametrize("path", sorted(results.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_published_rows_are_whole(path: Path) -> None:
    """README.md is held to them by tests/rexnet/test_variants.py."""
    row = json.loads(path.read_text())
    assert path.stem == f"{row['recipe']}-{row['identity']}"
    assert 0 < row["acc1"] <= row["acc5"] <= 100 and row["minutes"] > 0 and row["images"] > 0
    assert re.fullmatch(r"[0-9a-f]{64}", row["sha256"]) and re.fullmatch(r"[0-9a-f]{40}", row["git"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["date"]) and {"torch", "python"} <= set(row["versions"])
