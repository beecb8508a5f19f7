"""What the allocator keeps, seen from outside: the kernel's account of a process."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import resource, sys
import torch
from launch.engine.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def told(name):
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

def advised(address):  # whether the kernel was asked for huge pages there
    for line in open("/proc/self/smaps"):
        if "-" in line.split()[0]:
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
        elif line.startswith("VmFlags") and first <= address < last:
            return "hg" in line.split()

before = told("Rss")
keep_freed_memory()
print(told("Rss") - before)
for _ in range(3):
    first = faults()
    kept = [torch.ones(1 << 22) for _ in range(8)]  # of 16 MiB
    huge = all(advised(tensor.data_ptr() + (1 << 23)) for tensor in kept)  # the first may begin before
    del kept
print(faults() - first, int(huge), told("Rss") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc and Linux")
def test_freed_memory_is_kept_and_reserving_it_takes_none() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    reserved, faults, huge, kept = map(int, done.stdout.split())
    assert reserved < 4096  # KiB
    assert faults < 300  # of 32768 pages
    assert kept > 120 * 1024
    assert huge or not Path("/sys/kernel/mm/transparent_hugepage").exists()
