"""What each check makes of facts, those of machines that are not here among them."""

from dataclasses import replace
from pathlib import Path

import pytest

from launch.checks import (
    all_reduce,
    apex,
    architecture,
    data_set,
    decoding,
    disk,
    driver,
    gpus,
    machines,
    reading,
    tracking,
)
from launch.checks.architecture import V100_SET
from launch.checks.finding import Finding, looked

V100, T4, A100, P100, NEWER = (
    gpus.Gpu(name, capability)
    for name, capability in (
        ("Tesla V100-SXM2-32GB", (7, 0)),
        ("Tesla T4", (7, 5)),
        ("NVIDIA A100", (8, 0)),
        ("Tesla P100", (6, 0)),
        ("of the year after next", (15, 0)),
    )
)
CUDA_12 = ("sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
CUDA_13 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
HERE = gpus.Gpus(
    torch="2.10.0+cu128",
    cuda="12.8",
    built_for=CUDA_12,
    visible=(V100,) * 8,
    on_bus=8,
    driver="550.54.15",
    allotted=0,
    hidden=False,
)
NONE = replace(HERE, visible=(), on_bus=0, driver=None)
FOR_CPUS = {"torch": "2.13.0+cpu", "cuda": None, "built_for": ()}
NEWEST = {"torch": "2.13.0+cu130", "cuda": "13.0", "built_for": CUDA_13}


@pytest.mark.parametrize(
    ("there", "level", "text", "remedy"),
    [
        (HERE, "ok", "8 x Tesla V100-SXM2-32GB (sm_70); torch 2.10.0+cu128, CUDA 12.8", ""),
        (
            replace(HERE, **NEWEST),
            "error",
            "no code for Tesla V100",
            V100_SET,
        ),
        (replace(HERE, **NEWEST, visible=(T4, A100)), "ok", "1 x Tesla T4 (sm_75), 1 x NVIDIA A100", ""),
        (replace(HERE, visible=(A100, P100)), "error", "no code for Tesla P100 (sm_60)", ""),
        (replace(HERE, visible=(NEWER,)), "error", "sm_150", "constraints/cpu.txt"),
        (replace(HERE, **NEWEST, visible=(NEWER,)), "warning", "PTX", "constraints/cpu.txt"),
        (replace(HERE, **FOR_CPUS, visible=()), "error", "a build for CPUs", "pip uninstall -y torch && "),
        (replace(HERE, visible=(), hidden=True), "ok", "CUDA_VISIBLE_DEVICES is empty", ""),
        (replace(HERE, visible=()), "error", "torch sees none (driver 550.54.15)", "nvidia-smi"),
        (replace(NONE, on_bus=8, allotted=8), "error", "no driver is loaded", "nvidia-smi"),
        (replace(NONE, on_bus=1), "warning", "without its driver", "nvidia-smi"),
        (replace(NONE, allotted=8), "warning", "gave the job 8 GPUs here, but there is none", "sinfo"),
        (replace(NONE, **FOR_CPUS), "ok", "trains on the CPU", ""),
        (replace(NONE, **NEWEST), "ok", "trains on the CPU", ""),
    ],
)
def test_architecture(there: gpus.Gpus, level: str, text: str, remedy: str) -> None:
    found = architecture.judge(there)
    assert (found.level, text in found.text, remedy in found.remedy) == (
        level,
        True,
        True,
    ), found
    assert bool(found.remedy) == bool(remedy)


@pytest.mark.parametrize(
    ("capability", "built_for", "fit"),
    [
        ((7, 0), ("sm_70",), "sass"),
        ((8, 9), ("sm_80",), "sass"),
        ((7, 5), ("sm_70",), "sass"),
        ((7, 0), ("sm_75",), None),
        ((9, 0), ("sm_86", "compute_80"), "ptx"),
        ((7, 0), ("compute_75",), None),
        ((9, 0), ("sm_90a",), None),
        ((12, 0), ("sm_120",), "sass"),
        ((7, 0), (), None),
    ],
)
def test_binary_compatibility(
    capability: tuple[int, int], built_for: tuple[str, ...], fit: str | None
) -> None:
    assert architecture.fit(capability, built_for=built_for) == fit


@pytest.mark.parametrize(
    ("there", "level", "text"),
    [
        (HERE, "ok", "needs 525.60.13 or newer"),
        (replace(HERE, driver="525.60.13"), "ok", "525.60.13"),
        (replace(HERE, driver="525.60.11", visible=()), "error", "a driver of the 580 series"),
        (replace(HERE, **NEWEST, driver="550.54.15", visible=()), "error", "but CUDA 13.0 needs 580"),
        (replace(HERE, **NEWEST, driver="550.54.15", visible=(A100,)), "warning", "compatibility package"),
        (replace(HERE, **NEWEST, driver="580.95.05", visible=(A100,)), "ok", "580.95.05"),
        (replace(HERE, driver="595.10", visible=()), "error", "for V100 the 580 series is the last"),
        (NONE, "ok", "none needed"),
        (replace(HERE, **FOR_CPUS), "ok", "no use of it"),
    ],
)
def test_driver(there: gpus.Gpus, level: str, text: str) -> None:
    found = driver.judge(there)
    assert (found.level, text in found.text) == (level, True), found


def test_a_driver_that_suits_the_v100_set_only_names_that_set() -> None:
    found = driver.judge(replace(HERE, **NEWEST, driver="550.54.15", visible=()))
    assert found.remedy == V100_SET


DECODING = decoding.Decoding(
    dali="2.2.0", codec="0.8.0.22", asked="auto", way="the GPU, crops alone", faults=()
)
CRASH = "decoding crops alone on the GPU ends by SIGSEGV"


@pytest.mark.parametrize(
    ("facts", "level", "text", "remedy"),
    [
        (DECODING, "ok", "one batch decoded on the GPU, crops alone", ""),
        (replace(DECODING, codec="0.9.0.20"), "warning", "known to fail", "nvidia-nvimgcodec-cu12>=0.8,<0.9"),
        (
            replace(DECODING, codec="0.9.0.20", way="the GPU, whole images", faults=(CRASH,)),
            "warning",
            f"decodes on the GPU, whole images, since {CRASH}",
            "<0.9",
        ),
        (
            replace(DECODING, way="the CPU, crops alone", faults=(CRASH, "x")),
            "warning",
            f"{CRASH}, and x",
            "",
        ),
        (replace(DECODING, way=None, faults=(CRASH,), asked="gpu"), "error", CRASH, "--decode cpu; "),
        (replace(DECODING, dali=None, way=None), "error", "not installed", "constraints/cpu.txt"),
    ],
)
def test_decoding(facts: decoding.Decoding, level: str, text: str, remedy: str) -> None:
    found = decoding.judge(facts)
    assert (found.level, text in found.text, remedy in found.remedy) == (level, True, True), found


RATE = all_reduce.Rate(
    backend="nccl", processes=16, machines=2, bytes=64 * 10**6, seconds=0.02, right=True,
    gradients=64 * 10**6, step=0.2,
)  # fmt: skip


def test_all_reduce() -> None:
    assert RATE.bus == pytest.approx(2 * 15 / 16 * 64e6 / 0.02 / 1e9)
    found = all_reduce.judge(RATE)
    assert found.level == "ok" and "6.00 GB/s" in found.text and "take 20 ms" in found.text
    assert "between 16 processes on 2 machines" in found.text
    slow = all_reduce.judge(replace(RATE, seconds=0.5))
    assert (
        slow.level == "warning"
        and "(200 ms by estimate)" in slow.text
        and "NCCL_SOCKET_IFNAME" in slow.remedy
    )
    assert all_reduce.judge(replace(RATE, seconds=0.5, backend="gloo")).level == "ok"
    assert all_reduce.judge(replace(RATE, seconds=0.5, step=None)).level == "ok"
    assert all_reduce.judge(replace(RATE, right=False)).level == "error"
    assert "torchrun --nproc-per-node=gpu" in all_reduce.alone(gpus=8).remedy
    failed = all_reduce.failed(RuntimeError("NCCL error: unhandled\nmore"))
    assert failed.level == "error" and failed.text.endswith("(RuntimeError: NCCL error: unhandled)")


SPLIT = data_set.Split(images=1_281_167, classes=1000, unreadable=0, identity="0123456789abcdef")
IMAGENET = data_set.DataSet(
    folder=Path("/data/imagenet"),
    classes=1000,
    train=SPLIT,
    val=replace(SPLIT, images=50_000),
    whole_imagenet=True,
    wordnet=True,
    most_bad=1281,
)
INDEX = "python launch/index.py /data/imagenet"


@pytest.mark.parametrize(
    ("data", "level", "text", "remedy"),
    [
        (IMAGENET, "ok", "1281167 training images in 1000 classes, 50000 for validation in 1000", ""),
        (replace(IMAGENET, train=None), "warning", "no index of train, or it has changed", INDEX),
        (replace(IMAGENET, train=None, val=None), "warning", "no index of train and val", INDEX),
        (replace(IMAGENET, train=None, too_large="type: x"), "warning", "type: x", ""),
        (replace(IMAGENET, train=None, too_large="type: x", machines=2), "error", "type: x", ""),
        (
            replace(IMAGENET, val=replace(SPLIT, unreadable=3)),
            "warning",
            "3 files are",
            f"{INDEX} --verify",
        ),
        (replace(IMAGENET, train=replace(SPLIT, unreadable=1282)), "error", "the 1281 that --max-bad", INDEX),
        (replace(IMAGENET, whole_imagenet=False), "warning", "ImageNet-1k has 1281167", f"{INDEX} --rescan"),
        (data_set.DataSet(folder=None), "error", "this recipe needs one", "--data DIR"),
        (data_set.DataSet(folder=None, drawn=True), "ok", "draws its own", ""),
        (data_set.DataSet(folder=Path("x"), fault="no folder x"), "error", "no folder x", ""),
    ],
)
def test_data_set(data: data_set.DataSet, level: str, text: str, remedy: str) -> None:
    found = data_set.judge(data)
    assert (found.level, text in found.text, found.remedy) == (level, True, found.remedy), found
    assert found.remedy.startswith(remedy) and bool(found.remedy) == bool(remedy)


DISK = disk.Disk(folder=Path("/runs"), above=Path("/"), needed=10**9, free=10**12)


def test_disk() -> None:
    assert disk.judge_run(DISK) == Finding(
        "ok", "/runs: 1.0 TB free, a run takes 1.0 GB; writable, knows hard links"
    )
    for bad, text in (
        (replace(DISK, fault="Read-only file system"), "cannot be written: Read-only"),
        (replace(DISK, free=10**8), "100.0 MB free, a run takes 1.0 GB: make room"),
        (replace(DISK, links=False), "knows no hard links"),
    ):
        found = disk.judge_run(bad)
        assert (found.level, found.remedy, text in found.text) == ("error", "--out DIR", True), found
    for bad in (replace(DISK, fault="Permission denied"), replace(DISK, free=0)):
        found = disk.judge_cache(bad, indexed=False)
        assert (found.level, found.remedy) == ("error", "export REXNET_CACHE=DIR")
        assert disk.judge_cache(bad, indexed=True).level == "ok"


def test_apex() -> None:
    there = apex.Apex(version="0.1", there=True, nvidias=True)
    assert apex.judge(there).level == "ok"
    assert apex.judge(apex.Apex(version=None, there=False)).level == "ok"
    stranger = apex.judge(apex.Apex(version="0.9.10.dev0", there=True))
    assert stranger.level == "warning" and stranger.remedy == "python -m pip uninstall -y apex"
    unbuilt = apex.judge(replace(there, fault="fails: No module named 'amp_C'"))
    assert unbuilt.level == "warning" and "APEX_CUDA_EXT=1" in unbuilt.remedy and "No module" in unbuilt.text


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        ({"version": None}, "warning", "not installed"),
        ({"mode": "offline"}, "ok", "offline by WANDB_MODE"),
        ({}, "ok", "no key"),
        ({"key": "unusable"}, "warning", "cannot be one"),
        (
            {"key": "set", "server": "api.example.org", "reachable": False},
            "warning",
            "org cannot be",
        ),
        ({"key": "set", "server": "api.example.org", "reachable": True}, "ok", "api.example.org answers"),
    ],
)
def test_tracking(facts: dict, level: str, text: str) -> None:
    found = tracking.judge(tracking.Tracking(**{"version": "0.31.0"} | facts))
    assert (found.level, text in found.text) == (level, True), found


def test_reading() -> None:
    fed = reading.Reading(rates=(1500.0, 1400.0), faults=(), wanted=1300.0)
    assert reading.judge(fed).level == reading.judge(replace(fed, wanted=None)).level == "ok"
    starved = reading.judge(replace(fed, rates=(1500.0, 900.0)))
    assert starved.level == "warning" and "2400 images/s" in starved.text and "the 1300 that" in starved.text
    assert reading.judge(replace(fed, faults=("OSError: gone",))).level == "error"


MACHINE = machines.Machine(
    python="3.11.2", torch="2.10.0", dali="2.2.0", codec="0.8.0.22", system="Linux", driver="550.54.15",
    gpus=("V100",) * 8, cpus=40, data="01234567 89abcdef",
)  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "level", "text"),
    [
        ("torch", "2.13.0", "error", "not the same torch: 2.10.0 on a, b; 2.13.0 on c"),
        ("data", "0 1", "error", "not the same data set: 01234567 89abcdef on a, b; 0 1 on c"),
        ("gpus", ("V100",) * 7, "warning", "not the same GPUs: 8 (V100) on a, b; 7 (V100) on c"),
        ("driver", "535.1", "warning", "not the same driver: 550.54.15 on a, b; 535.1 on c"),
        ("sees_folder", False, "warning", "c cannot see in the run's folder what a has written"),
    ],
)
def test_machines_that_differ_are_named(field: str, value: object, level: str, text: str) -> None:
    job = {"a": MACHINE, "b": MACHINE, "c": replace(MACHINE, **{field: value})}
    (found,) = machines.judge(job, processes=24)
    assert (found.level, text in found.text) == (level, True), found


def test_machines_that_are_alike() -> None:
    (found,) = machines.judge({"a": MACHINE, "b": MACHINE}, processes=16)
    assert found.level == "ok" and "2 machines (a, b), alike" in found.text and "16 processes" in found.text
    (found,) = machines.judge({"a": MACHINE, "b": replace(MACHINE, data=None)}, processes=16)
    assert found.level == "ok"
    (found,) = machines.judge({"a": MACHINE}, processes=1)
    assert found.text == "a, Linux, Python 3.11.2, 1 process"


def test_a_check_that_fails_is_a_warning() -> None:
    def look() -> Finding:
        raise KeyError("of our own making\nand more")

    found = looked(look)
    assert found.level == "warning" and "KeyError: 'of our own making" in found.text
