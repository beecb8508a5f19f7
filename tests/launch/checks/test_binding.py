"""CPUs, NUMA nodes and limits, of a /sys tree that is drawn up here."""

from dataclasses import replace
from pathlib import Path

import pytest

from launch.checks.binding import Binding, as_list, judge
from launch.checks.gpus import count_on_bus, driver_version
from launch.engine.binding import Seat, cpu_limit, cpus_of, parse_cpus, pci_address, share_out, take_seat

FIRST, SECOND = frozenset(range(20)), frozenset(range(20, 40))
ALL = FIRST | SECOND


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


def test_cpus_near_a_gpu(tmp_path: Path) -> None:
    class Properties:
        pci_domain_id, pci_bus_id, pci_device_id = 0, 0xAF, 0

    address = pci_address(Properties())
    assert address == "0000:af:00.0" and pci_address(object()) is None
    gpu = f"sys/bus/pci/devices/{address}"
    assert cpus_of(address, system=tmp_path) is None
    write(tmp_path, **{f"{gpu}/numa_node": "1", f"{gpu}/local_cpulist": "20-39,60-61"})
    assert cpus_of(address, system=tmp_path) == SECOND | {60, 61}
    write(tmp_path, **{f"{gpu}/numa_node": "-1"})
    assert cpus_of(address, system=tmp_path) is None
    assert cpus_of(None, system=tmp_path) is None


@pytest.mark.parametrize(("text", "cpus"), [("0-3,8", {0, 1, 2, 3, 8}), ("5", {5}), ("", set())])
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus
    assert as_list(frozenset(cpus)) == text


def test_limits_of_control_groups(tmp_path: Path) -> None:
    assert cpu_limit(system=tmp_path) is None
    write(tmp_path, **{"proc/self/cgroup": "0::/job/step"})
    assert cpu_limit(system=tmp_path) is None
    write(tmp_path, **{"sys/fs/cgroup/job/cpu.max": "350000 100000"})
    write(tmp_path, **{"sys/fs/cgroup/job/step/cpu.max": "max 100000"})
    assert cpu_limit(system=tmp_path) == 4
    write(tmp_path, **{"proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/job"})
    group = "sys/fs/cgroup/cpu,cpuacct/job"
    write(tmp_path, **{f"{group}/cpu.cfs_quota_us": "-1", f"{group}/cpu.cfs_period_us": "100000"})
    assert cpu_limit(system=tmp_path) is None
    write(tmp_path, **{f"{group}/cpu.cfs_quota_us": "200000"})
    assert cpu_limit(system=tmp_path) == 2


def test_gpus_on_the_bus_and_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    bus = "sys/bus/pci/devices"
    write(tmp_path, **{f"{bus}/1/vendor": "0x10de", f"{bus}/1/class": "0x030200"})
    write(tmp_path, **{f"{bus}/2/vendor": "0x10de", f"{bus}/2/class": "0x040300"})  # its sound
    write(tmp_path, **{f"{bus}/3/vendor": "0x8086", f"{bus}/3/class": "0x030000"})
    assert count_on_bus(tmp_path) == 1 and driver_version(tmp_path) is None
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (root@x)  2025"
    write(tmp_path, **{"proc/driver/nvidia/version": line})
    assert driver_version(tmp_path) == "580.95.05"
    (tmp_path / "proc/driver/nvidia/version").unlink()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 550.54.15\necho 550.54.15\n")
    program.chmod(0o755)
    assert driver_version(tmp_path) == "550.54.15"


def seats(*near: frozenset[int] | None, own: frozenset[int] = ALL) -> list[Seat]:
    return [Seat(host="a", own=own, near=each) for each in near]


TWO_BY_FOUR = (FIRST,) * 4 + (SECOND,) * 4
EXCLUSIVE = [Seat(host="a", own=frozenset({2 * r, 2 * r + 1}), near=FIRST) for r in range(8)]


@pytest.mark.parametrize(
    ("machine", "parts"),
    [
        (seats(*TWO_BY_FOUR), list(TWO_BY_FOUR)),
        (seats(*TWO_BY_FOUR, own=ALL - {0}), [FIRST - {0}] * 4 + [SECOND] * 4),
        (seats(*(FIRST,) * 8), None),  # all GPUs on one of two nodes
        (seats(*TWO_BY_FOUR, own=FIRST), None),  # the job has the CPUs of one node only
        (seats(*TWO_BY_FOUR, own=FIRST | {20, 21}), None),  # two CPUs for four processes
        (seats(*TWO_BY_FOUR[:-1], None), None),  # the kernel does not tell of one
        (seats(*(None,) * 8), None),
        (seats(FIRST), None),
        (EXCLUSIVE, None),  # a launcher has bound them
        (seats(FIRST, SECOND, own=frozenset({0})), None),
    ],
)
def test_who_is_bound_to_what(machine: list[Seat], parts: list[frozenset[int]] | None) -> None:
    assert share_out(machine) == parts


def test_a_process_takes_its_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two machines; the number that shares its CPUs decides over the threads that decode."""
    bound: list[frozenset[int]] = []
    monkeypatch.setattr("os.sched_setaffinity", lambda process, cpus: bound.append(cpus))
    job = [replace(seat, host=host) for host in ("a", "b") for seat in seats(*TWO_BY_FOUR)]
    assert [take_seat(job, rank=rank) for rank in range(16)] == [4] * 16
    assert bound == [*TWO_BY_FOUR, *TWO_BY_FOUR]
    bound.clear()
    assert take_seat(seats(*(FIRST,) * 8), rank=3) == 8
    assert take_seat(EXCLUSIVE, rank=3) == 1
    assert take_seat(seats(None), rank=0) == 1
    assert bound == []


def process(rank: int, **facts: object) -> Binding:
    usual = {"cpus": ALL, "near": FIRST if rank < 4 else SECOND, "limit": None}
    return Binding(local_rank=rank, **usual | {"torch_threads": 1, "decoding_threads": 5} | facts)  # type: ignore[arg-type]


def machine(**facts: object) -> list[Binding]:
    return [process(rank, **facts) for rank in range(8)]


@pytest.mark.parametrize(
    ("processes", "level", "text", "remedy"),
    [
        (machine(), "ok", "8 of them may also run on CPUs far from their GPU", ""),
        (machine(near=None), "ok", "8 processes, 40 CPUs; 1 of torch's and 5 of DALI's threads each", ""),
        ([process(r, cpus=FIRST if r < 4 else SECOND) for r in range(8)], "ok", "all CPUs near", ""),
        (machine(cpus=frozenset({3})), "warning", "the processes share CPU 3", "--cpus-per-gpu"),
        (machine(limit=4), "warning", "8 processes, 4 CPUs", "OMP_NUM_THREADS=1, and --workers 1"),
        (machine(torch_threads=40), "warning", "352 threads that compute, more than CPUs", "--workers 5"),
        (
            [process(r, cpus=SECOND if r < 4 else FIRST) for r in range(8)],
            "warning",
            "process 0 may run on CPUs 20-39, all far from its GPU, which is near 0-19; so 8 processes",
            "--cpu-bind=none",
        ),
        (
            [process(0, cpus=frozenset({0, 1}), near=None, torch_threads=2, decoding_threads=1)],
            "ok",
            "2 CPUs",
            "",
        ),
        ([process(0, cpus=frozenset({0}), near=None, decoding_threads=1)], "ok", "1 process, 1 CPU;", ""),
    ],
)
def test_binding(processes: list[Binding], level: str, text: str, remedy: str) -> None:
    found = judge(processes)
    assert (found.level, text in found.text, remedy in found.remedy) == (level, True, True), found
