"""What a run begins with: whose weights, which head, and that it stays the same run without the file."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from launch.cli import read_command
from launch.config import Run, from_plain, identity, identity_fields, to_plain
from launch.initial import read_initial, with_checksum
from launch.job_request import Training
from launch.precheck import check_training
from launch.recipes import RECIPES
from pipeline import synthetic
from pipeline.shard import checksum
from rexnet.layouts import translate
from rexnet.metadata import read_class_names
from rexnet.model import create_model
from rexnet.weights import find_variant, load_weights, save_weights
from tests.launch.program import run

VARIANT = "rexnet_0.2"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of five classes, with running means of 5, which random weights do not have."""
    torch.manual_seed(7)
    model = create_model(VARIANT, num_classes=5)
    model.stem.norm.running_mean.fill_(5.0)  # pyright: ignore[reportOptionalMemberAccess]
    save_weights(model, tmp_path / "five.safetensors", variant=VARIANT)
    return tmp_path / "five.safetensors"


def asked(weights: Path | str, **changes: Any) -> Run:
    return Run(recipe="own", variant=VARIANT, init_weights=str(weights), **changes)


def silent(line: str) -> None:
    """Says nothing."""


def test_a_run_is_known_by_the_content_of_its_initial_weights(weights: Path, tmp_path: Path) -> None:
    first = with_checksum(asked(weights), say=silent)
    assert first.init_sha256 == checksum(weights)
    copy = tmp_path / "copy.safetensors"
    shutil.copy(weights, copy)

    def key(run: Run) -> str:
        return identity(with_checksum(run, say=silent), train="t", val="v")

    assert (
        key(asked(copy))
        == key(asked(weights))
        != identity(Run(recipe="own", variant=VARIANT), train="t", val="v")
    )
    with copy.open("ab") as file:
        file.write(b" ")
    assert key(asked(copy)) != key(asked(weights))


def test_settings_that_came_later_leave_earlier_runs_what_they_were() -> None:
    plain = identity_fields(RECIPES["rexnet_1.0"].run)
    assert not {"init_weights", "init_sha256", "num_classes"} & set(plain)
    given = identity_fields(Run(init_weights="w", init_sha256="0" * 64, num_classes=7))
    assert given["init_sha256"] == "0" * 64 and given["num_classes"] == 7 and "init_weights" not in given


def test_without_the_file_an_earlier_start_tells_its_checksum(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begun = with_checksum(asked(weights, out=out), say=silent)
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"run": to_plain(begun)}))
    weights.unlink()
    assert with_checksum(asked(weights, out=out), say=silent) == begun
    assert with_checksum(from_plain(Run, to_plain(begun)), say=silent) == begun
    with pytest.raises(FileNotFoundError, match=r"no weights file .*five.safetensors; --init-weights wants"):
        with_checksum(asked(weights, out=tmp_path / "new"), say=silent)


def test_other_weights_than_recorded_are_refused_unless_they_are_named(weights: Path, tmp_path: Path) -> None:
    begun = with_checksum(asked(weights), say=silent)
    (tmp_path / "run.json").write_text(json.dumps({"run": to_plain(begun)}))
    with weights.open("ab") as file:
        file.write(b" ")
    for words, refused in (((), True), (("--init-weights", str(weights)), False)):
        command = read_command(["--from", str(tmp_path), *words])
        assert command is not None
        if refused:
            with pytest.raises(ValueError, match=f"begins with weights of sha256 {begun.init_sha256}, but"):
                with_checksum(command.run, say=silent)
        else:
            assert with_checksum(command.run, say=silent).init_sha256 == checksum(weights)
    scratch = read_command(["--from", str(tmp_path), "--init-weights", "None"])
    assert scratch is not None and scratch.run.init_weights is scratch.run.init_sha256 is None


@pytest.mark.parametrize(("classes", "replaced"), [(5, False), (3, True)])
def test_a_classifier_stays_or_stays_behind(classes: int, replaced: bool, weights: Path) -> None:
    initial = read_initial(with_checksum(asked(weights), say=silent), classes=classes, say=silent)
    assert initial is not None
    saved = load_file(weights)
    assert set(saved) - set(initial.state) == (
        {"classifier.weight", "classifier.bias"} if replaced else set()
    )
    assert all(tensor.equal(saved[name]) for name, tensor in initial.state.items())
    wanted = (
        "classifier of 5 classes replaced by one of 3, from random weights"
        if replaced
        else "classifier of 5 classes kept"
    )
    assert initial.words.endswith(wanted) and initial.facts["classifier"] == (
        "replaced" if replaced else "kept"
    )


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"of rexnet_0\.2, but the run's network is rexnet_1\.0: --variant rexnet_0\.2"
    ):
        read_initial(replace(asked(weights), variant="rexnet_1.0"), classes=3, say=silent)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match=r"foreign\.pth holds no ReXNet"):
        read_initial(asked(tmp_path / "foreign.pth"), classes=3, say=silent)
    state = load_file(weights)
    state["head.conv.weight"][0] = float("nan")
    torch.save(state, tmp_path / "spoilt.pth")
    with pytest.raises(
        ValueError, match=r"spoilt\.pth holds values that are not finite, in head\.conv\.weight"
    ):
        read_initial(asked(tmp_path / "spoilt.pth"), classes=3, say=silent)


@pytest.mark.parametrize("variant", ["rexnet_1.0", "rexnet_1.3", "rexnet_lite_1.0"])
def test_a_foreign_file_tells_its_network_by_its_channels(variant: str) -> None:
    model = create_model(variant, num_classes=2)
    assert find_variant(model.state_dict()) == variant
    official = translate(model.state_dict(), model.shape, source="ours", to="official")
    assert find_variant({f"module.{name}": tensor for name, tensor in official.items()}) == variant
    assert find_variant(create_model(VARIANT, num_classes=2).state_dict()) is None


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--init-sha256", "abc"), "64 hex digits"),
        (("--init-weights", "None", "--init-sha256", "0" * 64), "name them, too: --init-weights FILE"),
        (("--num-classes", "0"), "num-classes is 0"),
    ],
)
def test_mistakes_in_the_flags(flags: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        read_command(["finetune", *flags])


def test_a_submission_looks_at_them_before_the_queue(weights: Path, tmp_path: Path) -> None:
    data = synthetic.make(tmp_path / "set", classes=3, train=9, val=9)

    def check(*flags: object) -> str:
        words = ["finetune", "--data", str(data), *map(str, flags)]
        command = read_command(words)
        assert command is not None
        return check_training(
            Training(recipe="finetune", arguments=tuple(words), command=command), nodes=1, processes=1
        )[1]

    assert check("--variant", VARIANT, "--init-weights", weights).startswith("runs/finetune-")
    with pytest.raises(ValueError, match=r"--variant rexnet_0\.2"):
        check("--init-weights", weights)
    with pytest.raises(FileNotFoundError, match=r"none\.pth; --init-weights wants"):
        check("--init-weights", tmp_path / "none.pth")


def test_training_begins_with_them_and_goes_on_without_the_file(weights: Path, tmp_path: Path) -> None:
    """At a rate of almost nothing the result is what the run began with, on channels rounded up, too."""
    data = synthetic.make(tmp_path / "set", classes=3, train=24, val=9)
    flags = (
        *("finetune", "--data", data, "--variant", VARIANT, "--layout", "channels-last-8", "--seed", 3),
        *("--batch", 12, "--micro-batch", 12, "--epochs", 1, "--image-size", 32, "--lr", 1e-9, "--warmup", 0),
    )
    done = run("train", *flags, "--init-weights", weights, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "classifier of 5 classes replaced by one of 3, from random weights" in done.stdout
    (folder,) = tmp_path.glob("runs/finetune-*")
    facts = json.loads((folder / "run.json").read_text())
    assert facts["initial"]["sha256"] == facts["run"]["init_sha256"] == checksum(weights)
    report = (folder / "report.html").read_text()
    assert "five.safetensors, sha256" in report and "classifier of 5 classes replaced" in report
    torch.manual_seed(3)
    wanted = create_model(VARIANT, num_classes=3).state_dict()
    head = {name: tensor.clone() for name, tensor in wanted.items() if name.startswith("classifier.")}
    donor = create_model(VARIANT, num_classes=5)
    load_weights(donor, weights)
    began = donor.state_dict() | head
    ended = load_file(folder / "model.safetensors")
    for name, tensor in ended.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(tensor, began[name], rtol=0, atol=1e-6, msg=name)
    assert ended["stem.norm.running_mean"].min() > 2  # of 5, two steps later
    weights.rename(tmp_path / "elsewhere.safetensors")
    (folder / "model.safetensors").unlink()  # as if killed just before the end
    again = run("train", *flags, "--init-weights", weights, cwd=tmp_path)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "resume at step 2" in again.stdout and "initial weights" not in again.stdout
    assert json.loads((folder / "run.json").read_text())["initial"] == facts["initial"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]


UNSEEN = ["class 3", "class 4", "class 5"]


def test_a_run_with_more_outputs_than_folders_ends(tmp_path: Path) -> None:
    data = synthetic.make(tmp_path / "set", classes=3, train=24, val=9)
    size = ("--image-size", 32, "--batch", 8, "--micro-batch", 8, "--epochs", 1)
    flags = ("--variant", VARIANT, "--num-classes", 6, "--out", tmp_path / "run", *size)
    done = run("train", "rexnet_1.0-plain", "--data", data, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = tmp_path / "run" / "model.safetensors"
    assert read_class_names(found) == [*sorted(path.name for path in (data / "val").iterdir()), *UNSEEN]
    with np.load(tmp_path / "run" / "predictions.npz") as predictions:
        assert predictions["classes"].tolist()[3:] == UNSEEN
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_smoke_test_begins_with_them_each_time(weights: Path, tmp_path: Path) -> None:
    data = synthetic.make(tmp_path / "set", classes=3, train=60, val=9)
    flags = ("--variant", VARIANT, "--init-weights", weights, "--num-classes", 6, "--image-size", 32)
    batch = ("--batch", 8, "--micro-batch", 4)
    for _ in range(2):
        done = run("train", "finetune", "--data", data, *flags, *batch, "--smoke", cwd=tmp_path, processes=2)
        assert "SMOKE OK" in done.stdout and "replaced by one of 6" in done.stdout, done.stderr[-3000:]
