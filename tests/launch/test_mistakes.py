"""Mistakes that people make: each gets one message that says what to type, as the README's table has it."""

import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from launch.checks.architecture import V100_SET, require
from launch.checks.gpus import Gpu, Gpus
from launch.config import Run
from launch.engine.config import Optim
from launch.engine.optimizer import check_backend
from launch.exhaustion import naming_the_micro_batch
from launch.opening import idle_gpus
from pipeline import synthetic
from pipeline.missing import what_is_missing
from rexnet.model import create_model
from rexnet.weights import save_weights
from tests.launch.program import run
from tests.launch.test_saving import training
from tests.pipeline.test_missing import WNIDS, split

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTION = README.partition("## If something goes wrong\n")[2].partition("\n## ")[0]
ROWS = [row.strip("| ").split(" | ") for row in SECTION.splitlines() if row.startswith("| ")][2:]

Told = Callable[[Path], str]


def data(folder: Path) -> Path:
    return synthetic.make(folder / "data", classes=3, train=30, val=9)


def trained(folder: Path, *flags: object, **changes: str) -> str:
    """What the program says in its one line of error, and nothing else there."""
    done = run("train", *flags, cwd=folder, **changes)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def raised(work: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as error:
        work()
    return str(error.value)


def wrong_level(folder: Path) -> str:
    return trained(folder, "rexnet_1.0", "--data", data(folder) / "train", "--dry-run")


def unsorted_val(folder: Path) -> str:
    made = data(folder)
    for file in sorted((made / "val").rglob("*.jpg")):
        file.rename(made / "val" / f"{file.parent.name}-{file.name}")
    for empty in [path for path in (made / "val").iterdir() if path.is_dir()]:
        empty.rmdir()
    return trained(folder, "rexnet_1.0", "--data", made, "--dry-run")


def wrong_torch(_: Path) -> str:
    gpu = Gpu("Tesla V100-SXM2-16GB", (7, 0))
    found = Gpus(
        torch="2.13.0+cu130",
        cuda="13.0",
        built_for=("sm_75", "sm_80", "sm_90", "compute_90"),
        visible=(gpu,) * 8,
        on_bus=8,
        driver="580.95.05",
        allotted=0,
        hidden=False,
    )
    told = raised(lambda: require(found))
    assert V100_SET in told
    return told


def strangers_apex(_: Path) -> str:
    return raised(lambda: check_backend(Optim(backend="apex"), torch.device("cpu")))


def too_large(_: Path) -> str:
    def forward() -> None:
        with naming_the_micro_batch(Run(batch=1024, micro_batch=256)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.5 GiB")

    return raised(forward)


def read_only(folder: Path) -> str:
    """The data alone is no mistake: nothing is written there."""
    made, cache = data(folder), folder / "cache"
    cache.write_text("a file where the cache folder is to be")
    for path in [made, *made.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    assert run("train", "demo", "--data", made, "--dry-run", cwd=folder).returncode == 0
    return trained(folder, "demo", "--data", made, "--dry-run", REXNET_CACHE=str(cache / "within"))


def full_disk(folder: Path) -> str:
    """Here: the process that writes checkpoints may write no large files."""
    with training(data(folder), folder / "run") as run:
        resource.prlimit(run.writer(), resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        assert run.end() == 1
        return run.log.read_text()


def other_variant(folder: Path) -> str:
    file = folder / "model.safetensors"
    save_weights(create_model("rexnet_0.2", num_classes=3), file, variant="rexnet_0.2")
    done = run("evaluate", "rexnet_0.3", "--weights", file, "--data", data(folder), cwd=folder)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def a_class_short(_: Path) -> str:
    lines = what_is_missing(split("train", 1_279_867, WNIDS[1:]), split("val", 49_950, WNIDS[1:]))
    return lines[0]


def one_process(_: Path) -> str:
    told = idle_gpus(1, visible=8)
    assert told is not None
    return told


MISTAKES: dict[str, Told] = {
    "the wrong level of folders": wrong_level,
    "val not sorted into classes": unsorted_val,
    "a torch without code for the GPU": wrong_torch,
    "apex from the package index": strangers_apex,
    "a batch too large": too_large,
    "a cache folder that cannot be made": read_only,
    "a full disk": full_disk,
    "weights of another variant": other_variant,
    "999 classes": a_class_short,
    "one process for 8 GPUs": one_process,
}


def test_the_readme_lists_these() -> None:
    assert [row[0] for row in ROWS] == list(MISTAKES)


@pytest.mark.parametrize(
    "mistake", [pytest.param(m, marks=pytest.mark.slow) if m == "a full disk" else m for m in MISTAKES]
)
def test_it_is_said_what_to_type(mistake: str, tmp_path: Path) -> None:
    (said,) = [row[1].strip("`") for row in ROWS if row[0] == mistake]
    assert said in MISTAKES[mistake](tmp_path)
