"""Pillow's evaluation images, held against torchvision's rules in plain numbers and against DALI's images."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import loader, pillow
from pipeline.batch import MEAN, STD
from pipeline.config import Evaluation, Feeding
from pipeline.eight_bits import eight_bits
from pipeline.index import open_index
from tests.pipeline.test_graph import encoded, picture
from tests.pipeline.test_loader import COUNT, draw_tree, same

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def index(tmp_path):
    return open_index(draw_tree(tmp_path / "val"), say=lambda line: None)


def show(
    module, index, *, rank=0, world_size=1, batch=5, size=32, crop_ratio=0.875, workers=2, ahead=4, **settings
):
    return module.eval_batches(
        index,
        evaluation=Evaluation(eval_batch=batch, crop_ratio=crop_ratio, **settings),
        feeding=Feeding(workers=workers, ahead=ahead),
        rank=rank,
        world_size=world_size,
        device=CPU,
        image_size=size,
    )


def half_up_to_even(value):
    """Python's rounding, spelt out."""
    whole, rest = divmod(value, 1)
    return int(whole) + (rest > 0.5 or (rest == 0.5 and int(whole) % 2 == 1))


@pytest.mark.parametrize(("size", "crop_ratio"), [(32, 0.875), (48, 0.9), (64, 1.0)])
@pytest.mark.parametrize(
    ("height", "width"), [(40, 60), (75, 50), (33, 33), (3, 90), (120, 64), (7, 5), (101, 203)]
)
def test_the_window_is_that_of_resize_and_center_crop(height, width, size, crop_ratio):
    """On an image that has its own coordinates as colours, so that a shift of a pixel shows."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * y / height, 255 * x / width, 0 * x], axis=-1).round().astype(np.uint8)
    evaluation = Evaluation(crop_ratio=crop_ratio)
    crop = pillow.central_crop(encoded(Image.fromarray(pixels)), image_size=size, evaluation=evaluation)
    assert crop.shape == (size, size, 3) and crop.dtype == np.uint8

    short = int(size / crop_ratio)
    tall, wide = (int(short * side / min(height, width)) for side in (height, width))
    top, left = half_up_to_even((tall - size) / 2), half_up_to_even((wide - size) / 2)
    rows = (top + np.arange(size) + 0.5) / tall - 0.5 / height  # pixel centres, as shares of the image
    columns = (left + np.arange(size) + 0.5) / wide - 0.5 / width
    inner = slice(size // 4, -size // 4)  # at the image's edge the filter has no neighbours to average
    for found, wanted, extent in (
        (crop[:, size // 2, 0], rows, tall),
        (crop[size // 2, :, 1], columns, wide),
    ):
        step = 255 / extent  # between two pixels of the resized image
        difference = found[inner].astype(float) - 255 * wanted[inner]
        assert abs(difference.mean()) < 0.3 * step + 0.5


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("size", "crop_ratio"), [(32, 0.875), (64, 1.0), (224, 0.875)])
def test_dali_shows_the_same(index, size, crop_ratio, interpolation):
    """Odd sizes, portrait, grayscale, CMYK, palettes, transparency, and smaller than the crop."""
    settings = {"size": size, "crop_ratio": crop_ratio, "interpolation": interpolation}
    ours, dalis = (list(show(module, index, **settings)) for module in (pillow, loader))
    differences = []
    for a, b in zip(ours, dalis, strict=True):
        assert a.ids.tolist() == b.ids.tolist() and torch.equal(a.labels, b.labels)
        assert a.images.dtype == b.images.dtype and a.images.stride() == b.images.stride()
        levels = (a.images - b.images).permute(0, 2, 3, 1).abs() * 255 * torch.tensor(STD)
        differences.extend(levels.mean(dim=(1, 2, 3)).tolist())
    assert len(differences) == COUNT
    assert np.mean(differences) < 0.3 and max(differences) < 0.6
    other = "bilinear" if interpolation == "bicubic" else "bicubic"
    for module, shown in ((pillow, ours), (loader, dalis)):
        others = next(iter(show(module, index, **settings | {"interpolation": other})))
        assert not torch.equal(others.images, shown[0].images)


def test_16_bit_gray_is_scaled_as_by_dali(tmp_path):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(eight_bits(Image.fromarray(levels)), np.rint(levels / 257))
    (tmp_path / "split" / "a").mkdir(parents=True)
    Image.fromarray(levels).save(tmp_path / "split" / "a" / "x.png")
    index = open_index(tmp_path / "split", say=lambda line: None)
    ours, dalis = (
        next(show(module, index, batch=1, size=256, crop_ratio=1)).images for module in (pillow, loader)
    )
    assert ours.unique().numel() > 250 and (ours - dalis).abs().max() < 1e-5


def test_images_are_normalised_and_channels_last(index):
    batch = next(show(pillow, index))
    assert batch.images.shape == (5, 3, 32, 32) and batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.tolist() == batch.labels_b.tolist() == index.labels[:5].tolist()
    assert batch.weight.tolist() == [1] * 5
    levels = batch.images[2].permute(1, 2, 0).numpy() * np.array(STD) + np.array(MEAN)
    file = np.frombuffer(index.path(2).read_bytes(), dtype=np.uint8)
    crop = pillow.central_crop(file, image_size=32, evaluation=Evaluation())
    assert np.abs(255 * levels - crop).max() < 1e-3


def test_images_are_not_rotated_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture(40, 60)
    plain, turned = encoded(image, "JPEG"), encoded(image, "JPEG", exif=exif)
    crops = [pillow.central_crop(file, image_size=32, evaluation=Evaluation()) for file in (plain, turned)]
    assert plain.tobytes() != turned.tobytes() and np.array_equal(crops[0], crops[1])


@pytest.mark.parametrize("world_size", [1, 2, 7])
def test_every_image_once_and_the_same_batches_for_any_world(index, world_size):
    alone = list(show(pillow, index, workers=1))
    ranks = [list(show(pillow, index, rank=r, world_size=world_size)) for r in range(world_size)]
    assert sorted(i for rank in ranks for b in rank for i in b.ids.tolist()) == list(range(COUNT))
    assert all(same(alone[r + k * world_size], b) for r, rank in enumerate(ranks) for k, b in enumerate(rank))


@pytest.mark.parametrize("suffix", [".JPG", ".png"])
@pytest.mark.parametrize("kept", [0, 30, 0.5, 0.98])
def test_a_damaged_image_is_named_and_black(index, suffix, kept):
    path = next(index.path(i) for i in range(COUNT) if index.path(i).suffix == suffix)
    good = path.read_bytes()
    start = good[: int(kept * len(good)) if kept < 1 else kept]
    path.write_bytes(start + bytes(len(good) - len(start)))  # the size stays
    batches = list(show(pillow, index))
    (bad,) = (bad for batch in batches for bad in batch.bad)
    assert bad.file == str(path)
    (row,) = (b.images[b.ids.tolist().index(bad.id)] for b in batches if bad.id in b.ids)
    assert torch.equal(row, pillow.normalised(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))[0])


@pytest.mark.parametrize("taken", [1, 3])
def test_closing_ends_the_threads(index, taken):
    before = len(list(Path("/proc/self/task").iterdir()))
    batches = show(pillow, index, batch=2, ahead=1)
    for _ in range(taken):
        next(batches)
    batches.close()
    deadline = time.monotonic() + 30
    while len(list(Path("/proc/self/task").iterdir())) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(list(Path("/proc/self/task").iterdir())) <= before


def test_a_file_that_is_cut_off_is_pillows_error():
    for form in ("PNG", "JPEG"):
        file = encoded(picture(150, 200), form)
        with pytest.raises(OSError, match=r"(?i)truncated"):
            pillow.central_crop(file[:-50], image_size=32, evaluation=Evaluation())
