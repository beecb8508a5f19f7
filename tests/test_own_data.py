"""docs/your-own-data.md: what it says that a mistake says is what is said."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch.cli import read_command
from launch.config import Run
from launch.data import outputs
from launch.opening import open_data
from launch.plan import make_plan
from pipeline import synthetic

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "your-own-data.md").read_text()
SAYINGS = [line.split("`")[1] for line in PAGE.partition("## Mistakes")[2].splitlines() if line[:3] == "| `"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Relative, with the classes of the page."""
    drawn = synthetic.make(tmp_path / "drawn", classes=2, train=6, val=4)
    for split in ("train", "val"):
        for new, old in zip(("cat", "dog"), sorted((drawn / split).iterdir()), strict=True):
            shutil.copytree(old, tmp_path / "mine" / split / new)
    return Path("mine")


def unsplit(mine: Path) -> None:
    for split in ("train", "val"):
        for folder in (mine / split).iterdir():
            if split == "train":
                folder.rename(mine / folder.name)
        shutil.rmtree(mine / split)


def deeper(mine: Path) -> None:
    (mine / "images").mkdir()
    for split in ("train", "val"):
        (mine / split).rename(mine / "images" / split)


def flat(mine: Path) -> None:
    for file in list((mine / "train").rglob("*.jpg")):
        file.rename(mine / "train" / f"{file.parent.name}-{file.name}")
    for folder in list((mine / "train").iterdir()):
        if folder.is_dir():
            folder.rmdir()


def empty(mine: Path) -> None:
    for file in (mine / "train" / "cat").iterdir():
        file.unlink()


def unreadable(mine: Path) -> None:
    for file in (mine / "train" / "cat").iterdir():
        file.write_text("x")


LAYOUTS: dict[str, Callable[[Path], Any]] = {
    "it holds cat, dog": unsplit,
    "it lies deeper": deeper,
    "no folder val": lambda mine: (mine / "val").rename(mine / "validation"),
    "not sorted into class folders": flat,
    "class folders that": lambda mine: (mine / "val" / "dog").rename(mine / "val" / "Cat"),
    "without an image": empty,
    "without one readable": unreadable,
}


def alike(said: str, wanted: str, *, root: Path) -> bool:
    """Whether a message is the page's, where numbers and what ... stands for may differ."""
    said = re.sub(r"\d+", "N", said.replace(f"{root}/", ""))
    parts = re.sub(r"\d+", "N", wanted).split("...")
    return re.match(".*".join(re.escape(part) for part in parts), said, flags=re.S) is not None


def saying(words: str) -> str:
    (found,) = (line for line in SAYINGS if words in line)
    return found


@pytest.mark.parametrize("words", LAYOUTS)
def test_a_wrong_layout(words: str, mine: Path, tmp_path: Path) -> None:
    LAYOUTS[words](mine)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        open_data(Run(recipe="own", data=mine), say=lambda line: None)
    assert alike(str(caught.value), saying(words), root=tmp_path), (str(caught.value), saying(words))


def test_a_split_in_the_place_of_the_data_set(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        open_data(Run(recipe="own", data=mine / "train"), say=lambda line: None)
    assert alike(str(caught.value), saying("one split itself"), root=tmp_path), str(caught.value)


def test_a_batch_that_does_not_divide_and_too_few_outputs(mine: Path, tmp_path: Path) -> None:
    command = read_command(["finetune"])
    assert command is not None
    with pytest.raises(ValueError) as caught:
        make_plan(command.run, nodes=1, ranks=3)
    assert str(caught.value) == saying("do not divide among")
    train = open_data(Run(recipe="own", data=mine), say=lambda line: None).train
    with pytest.raises(ValueError) as caught:
        outputs(1, folders=train.classes, split=train.root)
    assert alike(str(caught.value), saying("num-classes"), root=tmp_path)


def test_the_other_sayings_are_in_the_code() -> None:
    """Those about weights, whose tests are tests/launch/test_initial.py, test_evaluate.py and test_hub.py."""
    launch = Path(__file__).resolve().parents[1] / "launch"
    code = " ".join((launch / f"{name}.py").read_text() for name in ("initial", "evaluation", "hub"))
    code = re.sub(r'"\s+f?"', "", code)
    for words in (
        "holds weights of {told}, but the run's network is {run.variant}: --variant {told}, or weights of",
        "classes apart, but wanted are",
        "cannot be fetched from",
        "the run begins with weights of sha256",
    ):
        assert words in code and any(part in PAGE for part in re.split(r"{[^}]*}", words) if len(part) > 8)
    assert len(SAYINGS) == len(LAYOUTS) + 3 + 4
