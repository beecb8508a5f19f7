"""What only a GPU can show: `pytest -m gpu`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from launch.engine.config import LayoutName, Numerics
from launch.engine.layout import CANDIDATES, find_layout
from launch.engine.step import choose_precision
from pipeline import synthetic
from pipeline.config import Augmentation, Evaluation, Feeding
from pipeline.index import open_splits
from pipeline.loader import Share, eval_batches, train_batches
from rexnet.model import create_model
from tests.launch.end_state import differences
from tests.launch.program import command, kill_at, records, run

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("gpu") / "set", classes=4, train=400, val=80)


def images_of(data: Path, device: torch.device, decode: str) -> torch.Tensor:
    train, _ = open_splits(data, say=lambda line: None)
    batches = train_batches(
        train,
        augmentation=Augmentation(image_size=96),
        feeding=Feeding(decode=decode),  # type: ignore[arg-type]
        seed=0,
        share=Share(batch=64, micro_batch=32, rank=0, world_size=1),
        device=device,
        image_size=lambda step: 96,
        from_step=0,
        to_step=2,
    )
    return torch.cat([batch.images.cpu() for batch in batches])


def test_this_torch_is_built_for_this_gpu() -> None:
    major, minor = torch.cuda.get_device_capability(GPU)
    assert f"sm_{major}{minor}" in torch.cuda.get_arch_list()
    assert choose_precision(Numerics(), GPU) == ("bf16" if major >= 8 else "fp16")


@pytest.mark.parametrize("decode", ["cpu", "gpu"])
def test_the_gpu_shows_the_images_that_the_cpu_shows(data: Path, decode: str) -> None:
    """Decoders differ in rounding and chroma upsampling, not in window, order or flip."""
    theirs, ours = images_of(data, CPU, "cpu"), images_of(data, GPU, decode)
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().mean()) < 0.05
    assert images_of(data, GPU, decode).equal(ours)


def test_gpu_batches_are_channels_last_without_a_copy(data: Path) -> None:
    _, val = open_splits(data, say=lambda line: None)
    batches = eval_batches(
        val, evaluation=Evaluation(), feeding=Feeding(), rank=0, world_size=1, device=GPU, image_size=96
    )
    seen = [batch for batch in batches]
    assert all(b.images.is_contiguous(memory_format=torch.channels_last) and b.images.is_cuda for b in seen)
    assert sorted(np.concatenate([b.ids for b in seen]).tolist()) == list(range(len(val)))


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("variant", ["rexnet_1.0", "rexnet_lite_1.3"])
def test_the_network_is_the_same_function_in_every_layout(variant: str, name: LayoutName) -> None:
    layout = find_layout(name)
    torch.manual_seed(0)
    model = create_model(variant, num_classes=10).eval()
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        theirs = model(images)
        ours = create_model(variant, weights=model.state_dict(), align=layout.align).eval()
        ours = ours.to(GPU, memory_format=layout.memory_format)  # type: ignore[call-overload]
        given = images.to(GPU).contiguous(memory_format=layout.memory_format)
        torch.testing.assert_close(ours(given).cpu(), theirs, atol=2e-3, rtol=2e-3)
        with torch.autocast("cuda", torch.float16):
            half = ours(given).float().cpu()
    torch.testing.assert_close(half, theirs, atol=5e-2, rtol=5e-2)


def test_padding_stays_zero_in_half_precision() -> None:
    torch.manual_seed(0)
    model = create_model("rexnet_1.0", num_classes=10, align=8)
    model = model.to(GPU, memory_format=torch.channels_last)  # type: ignore[call-overload]
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3, fused=True)
    images = torch.randn(16, 3, 64, 64, device=GPU).contiguous(memory_format=torch.channels_last)
    for _ in range(10):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16):
            loss = model(images).float().square().mean()
        (128 * loss).backward()
        torch._foreach_div_([p.grad for p in model.parameters()], 128)
        optimizer.step()
        assert torch.isfinite(loss)
    for name, parameter in model.named_parameters():
        rest = parameter.detach().clone()
        rest[tuple(slice(size) for size in shapes[name])] = 0
        assert not rest.any(), name


def test_the_fastest_layout_is_found(data: Path, tmp_path: Path) -> None:
    sizes = ["--batch", 32, "--micro-batch", 32, "--image-size", 96, "--epochs", 600, "--precision", "fp16"]
    done = run("train", "demo", "--data", data, *sizes, "--smoke", cwd=tmp_path, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("layout ")]
    assert ", measured, ms per micro-batch: " in line


@pytest.mark.parametrize("precision", ["fp32", "fp16", "auto"])
def test_the_demo_learns(precision: str, tmp_path: Path) -> None:
    flags = ["--epochs", 3, "--precision", precision, "--out", tmp_path / "run"]
    done = run("train", "demo", *flags, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    final = records(tmp_path / "run", "eval")[-1]
    assert final["eval/acc1"] > 80
    line = records(tmp_path / "run", "train")[-1]
    assert 0 < line["speed/step_ms_p50"] <= line["speed/step_ms_p99"] and line["cost/gpu_memory_gib"] > 0.1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["found"]["device"] == "cuda"


def test_smoke_on_every_gpu(data: Path, tmp_path: Path) -> None:
    count = torch.cuda.device_count()
    size = 16 * count
    flags = ["--batch", size, "--micro-batch", 16, "--image-size", 96]
    done = run("train", "demo", "--data", data, *flags, "--smoke", processes=count, cwd=tmp_path, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].startswith("SMOKE OK")


@pytest.mark.parametrize("precision", ["fp16", "auto"])
def test_a_deterministic_run_that_was_killed_ends_bit_identical(
    data: Path, precision: str, tmp_path: Path
) -> None:
    flags = ["--variant", "rexnet_0.5", "--batch", 64, "--micro-batch", 32, "--image-size", 96, "--epochs", 6]
    flags += ["--log-every", 4, "--checkpoint-minutes", 0, "--deterministic", "--precision", precision]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run("train", "demo", "--data", data, "--out", whole, *flags, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    kill_at(12, command("train", "demo", "--data", data, "--out", killed, *flags), killed)
    assert not (killed / "model.safetensors").exists()
    again = run("train", "demo", "--data", data, "--out", killed, *flags, timeout=580)
    assert again.returncode == 0 and "resume at step" in again.stdout, again.stderr[-3000:]
    assert differences(killed, whole) == []
