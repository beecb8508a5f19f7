"""The doctor on a machine with a GPU: `pytest -m gpu`."""

from pathlib import Path

import pytest
import torch

from launch.engine.binding import own_cpus, pci_address
from launch.engine.distributed import near_cpus
from tests.launch.program import run
from tests.launch.test_doctor import levels

pytestmark = pytest.mark.gpu


def test_the_table_of_a_gpu_machine(tmp_path: Path) -> None:
    count = torch.cuda.device_count()
    for processes in sorted({1, count}):
        done = run("doctor", "--quick", processes=processes, cwd=tmp_path, REXNET_CACHE=str(tmp_path))
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        found = levels(done.stdout)
        assert {found[name] for name in ("GPU", "driver", "decoding", "all-reduce")} == {"ok"}, done.stdout
        assert torch.cuda.get_device_name(0) in done.stdout
        assert "decoded on the GPU, crops alone" in done.stdout
        assert ("over nccl" in done.stdout) == (processes > 1)
        assert list(tmp_path.iterdir()) == []


def test_a_gpus_place_on_the_bus_is_found() -> None:
    """The kernel may know no NUMA node of it, in a virtual machine; the device itself it knows."""
    address = pci_address(torch.cuda.get_device_properties(0))
    assert address is not None and Path("/sys/bus/pci/devices", address).exists()
    near = near_cpus(torch.device("cuda", 0))
    assert near is None or near & own_cpus()
