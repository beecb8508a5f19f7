import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import loader
from pipeline.config import Augmentation, Evaluation, Feeding
from pipeline.graph import MEAN, STD
from pipeline.index import open_index
from pipeline.loader import Share, eval_batches, train_batches
from pipeline.plans import Plan, in_groups, joined

CPU = torch.device("cpu")
ONE = Share(batch=8, micro_batch=8, rank=0, world_size=1)
COUNT = 23  # prime: no batch size divides an epoch


def draw_tree(folder: Path):
    """23 images of mixed sizes, modes and formats in three classes."""
    kinds = [
        ("RGB", "jpg"),
        ("L", "jpeg"),
        ("CMYK", "JPEG"),
        ("RGBA", "png"),
        ("RGB", "PNG"),
        ("P", "png"),
        ("RGB", "JPG"),
    ]
    for i in range(COUNT):
        height, width = [(40, 60), (75, 50), (33, 33), (3, 90), (120, 64)][i % 5]
        y, x = np.mgrid[:height, :width]
        wave = 127 + 120 * np.stack(
            [np.sin(x / (3 + i)), np.cos(y / (2 + i)), np.sin((x + y) / 7 + i)], axis=-1
        )
        mode, suffix = kinds[i % len(kinds)]
        path = folder / "abc"[i % 3] / f"{i:02}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(wave.astype(np.uint8)).convert(mode).save(path)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def index(tmp_path):
    return open_index(draw_tree(tmp_path / "train"), say=lambda line: None)


def train(index, *, share=ONE, steps=(0, 6), workers=1, ahead=4, mixup=0.0, size=lambda step: 32, seed=1):
    return train_batches(
        index,
        augmentation=Augmentation(mixup=mixup),
        feeding=Feeding(workers=workers, ahead=ahead),
        seed=seed,
        share=share,
        device=CPU,
        image_size=size,
        from_step=steps[0],
        to_step=steps[1],
    )


def evaluate(index, *, rank=0, world_size=1, batch=5, size=32, crop_ratio=0.875):
    return eval_batches(
        index,
        evaluation=replace(Evaluation(), eval_batch=batch, crop_ratio=crop_ratio),
        feeding=Feeding(workers=1),
        rank=rank,
        world_size=world_size,
        device=CPU,
        image_size=size,
    )


def same(a, b):
    return (
        a.ids.tolist() == b.ids.tolist()
        and torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.labels_b, b.labels_b)
        and torch.equal(a.weight, b.weight)
    )


def test_batches_are_what_they_promise(index):
    batches = list(train(index))
    assert len(batches) == 6
    for batch in batches:
        assert batch.images.shape == (8, 3, 32, 32) and batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.tolist() == index.labels[batch.ids].tolist()
        assert batch.labels.dtype == torch.int64 and batch.ids.dtype == np.int64
        assert batch.labels_b is batch.labels
        assert batch.weight.tolist() == [1.0] * 8
        assert 0.3 < batch.images.std() < 3


def test_every_image_comes_once_an_epoch_though_batches_straddle_epochs(index):
    stream = np.concatenate([batch.ids for batch in train(index, steps=(0, 12))])  # 96 images: 4 epochs and 4
    for epoch in range(4):
        assert sorted(stream[epoch * COUNT : (epoch + 1) * COUNT]) == list(range(COUNT))
    assert Counter(stream[4 * COUNT :].tolist()).most_common(1)[0][1] == 1
    assert stream[:COUNT].tolist() != stream[COUNT : 2 * COUNT].tolist()


def test_an_image_is_drawn_afresh_every_epoch(index):
    seen = {}
    for batch in train(index, steps=(0, 12)):
        for image, i in zip(batch.images, batch.ids.tolist(), strict=True):
            seen.setdefault(i, []).append(image)
    assert all(len(images) >= 4 for images in seen.values())
    large = [images for i, images in seen.items() if index.heights[i] > 3]  # 3 pixels leave little to draw
    assert len(large) == 19
    assert all(not torch.equal(images[0], images[1]) for images in large)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_a_run_may_start_at_any_step(index, mixup):
    whole = list(train(index, mixup=mixup))
    for start in (1, 4, 5):
        resumed = list(train(index, mixup=mixup, steps=(start, 6)))
        assert all(same(a, b) for a, b in zip(whole[start:], resumed, strict=True))


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_threads_and_read_ahead_change_nothing(index, mixup):
    one = list(train(index, mixup=mixup))
    other = list(train(index, mixup=mixup, workers=3, ahead=1))
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("together", [1, 20, 1000])
def test_how_many_are_decoded_together_changes_nothing(index, together, monkeypatch):
    """The size changes twice, in the middle of what could be decoded together."""
    options = {"mixup": 0.4, "size": lambda step: 32 if step // 2 != 1 else 48}
    default = list(train(index, **options))
    monkeypatch.setattr(loader, "_TOGETHER", together)
    found = list(train(index, **options))
    assert [batch.images.shape[-1] for batch in found] == [32, 32, 48, 48, 32, 32]
    assert all(same(a, b) for a, b in zip(default, found, strict=True))
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in found)


def test_groups_are_whole_plans_of_one_size():
    def plan(count, size):
        return Plan(ids=np.arange(count), inputs=(np.arange(count),), image_size=size)

    plans = [plan(3, 32), plan(3, 32), plan(3, 32), plan(9, 32), plan(1, 48), plan(1, 32), plan(7, 32)]
    groups = list(in_groups(iter(plans), images=8))
    assert [[len(plan.ids) for plan in group] for group in groups] == [[3, 3], [3], [9], [1], [1, 7]]
    assert [plan for group in groups for plan in group] == plans
    whole = joined(groups[0])
    assert whole.ids.tolist() == whole.inputs[0].tolist() == [0, 1, 2, 0, 1, 2]
    assert list(in_groups(iter([]), images=8)) == []


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_the_batches_of_one_rank(index, world_size, mixup):
    share = Share(batch=8, micro_batch=2, rank=0, world_size=1)
    alone = list(train(index, share=share, mixup=mixup, steps=(2, 5)))
    own = 4 // world_size
    for rank in range(world_size):
        ranks = list(
            train(index, share=replace(share, rank=rank, world_size=world_size), mixup=mixup, steps=(2, 5))
        )
        expected = [batch for i, batch in enumerate(alone) if i % 4 // own == rank]
        assert all(same(a, b) for a, b in zip(expected, ranks, strict=True))


def test_an_image_does_not_depend_on_the_size_of_its_micro_batch(index):
    large = list(train(index))
    small = list(train(index, share=Share(batch=8, micro_batch=1, rank=0, world_size=1)))
    assert torch.equal(torch.cat([b.images for b in large]), torch.cat([b.images for b in small]))
    assert torch.equal(torch.cat([b.labels for b in large]), torch.cat([b.labels for b in small]))


def test_another_seed_is_another_run(index):
    a, b = next(train(index, seed=1)), next(train(index, seed=2))
    assert a.ids.tolist() != b.ids.tolist()


def test_mixup_mixes_labels_and_images(index):
    plain, mixed = next(train(index)), next(train(index, mixup=0.4))
    share = mixed.weight[0].item()
    assert 0 <= share <= 1 and share != 1
    rows = [plain.ids.tolist().index(i) for i in mixed.ids.tolist()]
    assert rows == list(range(8))
    partners = [
        next(
            p
            for p in range(8)
            if torch.allclose(mixed.images[i], plain.images[p].lerp(plain.images[i], share), atol=1e-5)
        )
        for i in range(8)
    ]
    assert mixed.labels_b.tolist() == plain.labels[partners].tolist()
    assert mixed.labels.tolist() == plain.labels.tolist()


def test_the_image_size_may_change_from_step_to_step(index):
    sizes = [32, 48, 16, 64, 32, 40]
    varied = list(train(index, size=lambda step: sizes[step]))
    assert [batch.images.shape[-1] for batch in varied] == sizes
    fixed = list(train(index))
    assert same(varied[0], fixed[0]) and same(varied[4], fixed[4])


def test_old_batches_stay_intact_while_later_ones_are_made(index):
    kept = []
    for batch in train(index, steps=(0, 20)):
        kept.append((batch, replace(batch, images=batch.images.clone())))
    assert len(kept) == 20
    assert all(same(batch, copy) for batch, copy in kept)


def test_no_steps_are_no_batches(index):
    assert list(train(index, steps=(3, 3))) == []


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [5, 23, 50])
def test_evaluation_shows_every_image_once(index, world_size, batch):
    found = [list(evaluate(index, rank=r, world_size=world_size, batch=batch)) for r in range(world_size)]
    assert sorted(i for rank in found for b in rank for i in b.ids.tolist()) == list(range(COUNT))
    alone = list(evaluate(index, batch=batch))
    assert all(same(alone[r + k * world_size], b) for r, rank in enumerate(found) for k, b in enumerate(rank))


@pytest.mark.parametrize(("size", "crop_ratio"), [(32, 0.875), (64, 1.0)])
def test_evaluation_images_match_pillow(index, size, crop_ratio):
    means = []
    for batch in evaluate(index, size=size, crop_ratio=crop_ratio):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.tolist() == index.labels[batch.ids].tolist()
        pixels = batch.images.permute(0, 2, 3, 1).numpy() * np.array(STD) * 255 + np.array(MEAN) * 255
        for got, i in zip(pixels, batch.ids.tolist(), strict=True):
            image = Image.open(index.path(i)).convert("RGB")
            w, h = image.size
            shorter = int(size / crop_ratio)
            new = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
            left, top = (round((side - size) / 2) for side in new)
            image = image.resize(new, Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
            difference = np.abs(got - np.asarray(image, dtype=float))
            assert difference.max() <= 16.01
            means.append(difference.mean())
    assert len(means) == COUNT
    assert np.mean(means) < 0.3


def threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_ends_the_threads(index, taken):
    list(train(index, steps=(0, 2)))  # whatever is started once for good is there now
    before = threads()
    batches = train(index, steps=(0, 1000), workers=2)
    for _ in range(taken):
        next(batches)
    assert threads() > before or not taken
    batches.close()
    deadline = time.monotonic() + 60
    while threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads() <= before


def test_an_abandoned_loader_does_not_keep_the_interpreter(tmp_path):
    draw_tree(tmp_path / "train")
    program = (
        "from pathlib import Path\nfrom pipeline.index import open_index\n"
        "import tests.pipeline.test_loader as t\n"
        f"batches = t.train(open_index(Path({str(tmp_path / 'train')!r}), say=print), steps=(0, 1000))\n"
        "print(next(batches).images.shape, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,  # a hang lasts for ever, but a starved machine may take a minute to import torch
    )
    assert done.returncode == 0, done.stderr
    assert "[8, 3, 32, 32]" in done.stdout
    assert done.stderr == ""


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="divides 100"):
        Share(batch=100, micro_batch=64, rank=0, world_size=1)
    with pytest.raises(ValueError, match="start 1, 2, 4, 8, 16, or"):
        Share(batch=1024, micro_batch=64, rank=0, world_size=3)
    assert list(Share(batch=1024, micro_batch=64, rank=1, world_size=4).micro_batches) == [4, 5, 6, 7]
