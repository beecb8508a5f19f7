"""Batches with every augmentation on: the same for any world size, thread count, start and neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline import erasing, graph, plans, viewing
from pipeline.config import Augmentation, Feeding
from pipeline.index import open_index
from pipeline.loader import Share, train_batches
from tests.pipeline.test_loader import CPU, draw_tree, same

ALL = Augmentation(rand_ops=2, erasing=0.6, mixup=0.4, cutmix=1.0)
ALONE = Augmentation(rand_ops=2, erasing=0.6)  # what does not couple images
FOUR = Share(batch=8, micro_batch=2, rank=0, world_size=1)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        return open_index(draw_tree(tmp_path_factory.mktemp("data") / "train"), say=lambda line: None)


def train(
    index, augmentation=ALL, *, share=FOUR, steps=(0, 3), workers=1, ahead=4, size=lambda step: 32, seed=1
):
    return train_batches(
        index,
        augmentation=augmentation,
        feeding=Feeding(workers=workers, ahead=ahead),
        seed=seed,
        share=share,
        device=CPU,
        image_size=size,
        from_step=steps[0],
        to_step=steps[1],
    )


@pytest.fixture(scope="module")
def whole(index):
    return list(train(index))


def test_every_augmentation_shows(index, whole):
    """Against the batches of the plain pipeline."""
    plain = list(train(index, Augmentation()))
    assert all(a.ids.tolist() == b.ids.tolist() for a, b in zip(plain, whole, strict=True))
    assert not any(torch.equal(a.images, b.images) for a, b in zip(plain, whole, strict=True))
    assert all(b.images.is_contiguous(memory_format=torch.channels_last) for b in whole)
    assert any(0 < b.weight[0] < 1 for b in whole)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_may_start_at_any_step_with_any_threads(index, whole, workers):
    resumed = list(train(index, steps=(1, 3), workers=workers, ahead=1))
    assert all(same(a, b) for a, b in zip(whole[4:], resumed, strict=True))


@pytest.mark.parametrize(("world_size", "rank"), [(2, 0), (2, 1), (4, 2)])
def test_ranks_share_the_batches_of_one_rank(index, whole, world_size, rank):
    found = list(train(index, share=replace(FOUR, rank=rank, world_size=world_size)))
    wanted = [batch for i, batch in enumerate(whole) if i % 4 * world_size // 4 == rank]
    assert all(same(a, b) for a, b in zip(wanted, found, strict=True))


def test_an_image_does_not_depend_on_its_neighbours(index):
    small = torch.cat([b.images for b in train(index, ALONE)])
    large = torch.cat([b.images for b in train(index, ALONE, share=replace(FOUR, micro_batch=8))])
    assert torch.equal(small, large)


def test_erased_are_the_drawn_rectangles_and_nothing_else(index):
    share = replace(FOUR, micro_batch=8)
    plain = next(train(index, Augmentation(), share=share))
    erased = next(train(index, Augmentation(erasing=0.6), share=share))
    wanted = plain.images.clone()
    rows = erasing.boxes(probability=0.6, seed=1, epochs=plain.ids * 0, ids=plain.ids, image_size=32)
    assert 0 < len(rows) < 8
    erasing.erase(wanted, rows, table=erasing.noise(CPU))
    assert torch.equal(erased.images, wanted) and not torch.equal(erased.images, plain.images)


def test_operations_are_those_drawn_and_the_other_images_stay(index):
    share = replace(FOUR, micro_batch=8)
    augmentation = Augmentation(rand_ops=1)
    for step in range(2):
        plain = next(train(index, Augmentation(), share=share, steps=(step, step + 1)))
        found = next(train(index, augmentation, share=share, steps=(step, step + 1)))
        (plan,) = plans.train_plans(
            index,
            augmentation=augmentation,
            seed=1,
            share=share,
            image_size=lambda s: 32,
            steps=range(step, step + 1),
        )
        chosen = plan.inputs[4][:, 0] > 0
        changed = (plain.images != found.images).flatten(1).any(dim=1).numpy()
        assert 0 < chosen.sum() < 8
        assert not changed[~chosen].any()
        assert changed[chosen].mean() > 0.5  # some change nothing: contrast of an image that spans it all


def test_each_epoch_draws_anew(index):
    drawn = []
    for epoch in range(2):
        ids = np.arange(len(index))
        plan = plans.sample_plan(
            index, augmentation=ALONE, seed=1, epochs=ids * 0 + epoch, ids=ids, image_size=32
        )
        drawn.append(plan)
    assert (drawn[0].inputs[4] != drawn[1].inputs[4]).any()
    assert drawn[0].erased.tolist() != drawn[1].erased.tolist()


def test_samples_of_ones_choice_are_those_of_a_run(index):
    share = replace(FOUR, micro_batch=8)
    batches = list(train(index, ALONE, share=share, steps=(2, 4)))  # the end of epoch 0 and the start of 1
    ids = np.concatenate([batch.ids for batch in batches])
    epochs = np.arange(16, 32) // len(index)
    assert set(epochs.tolist()) == {0, 1}
    plan, images = viewing.show(index, augmentation=ALONE, seed=1, epochs=epochs, ids=ids, image_size=32)
    assert torch.equal(images, torch.cat([batch.images for batch in batches]))
    assert len(plan.erased) > 0
    levels = viewing.pixels(images)
    assert levels.shape == (16, 32, 32, 3) and levels.dtype == np.uint8


def test_sizes_change_without_a_new_graph(index, monkeypatch):
    built = []
    build = graph.build
    monkeypatch.setattr(graph, "build", lambda *args, **options: built.append(1) or build(*args, **options))
    sizes = [32, 48, 64, 32, 96, 40, 128, 32]
    batches = train(index, share=replace(FOUR, micro_batch=8), steps=(0, 8), size=sizes.__getitem__)
    found = list(batches)
    assert [batch.images.shape for batch in found] == [(8, 3, size, size) for size in sizes]
    assert built == [1]
    again = list(train(index, share=replace(FOUR, micro_batch=8), steps=(0, 8), size=lambda step: 32))
    for step in (0, 3, 7):
        assert same(found[step], again[step])


@pytest.mark.parametrize("field", ["erasing", "mixup", "cutmix", "rand_ops", "rand_deviation"])
def test_impossible_settings_are_named(field):
    with pytest.raises(ValueError, match=field.replace("_", "-")):
        Augmentation(**{field: -1})


@pytest.mark.parametrize(
    ("field", "value"), [("erasing", 1.1), ("rand_magnitude", 10.5), ("rand_magnitude", -1)]
)
def test_so_are_too_large_ones(field, value):
    with pytest.raises(ValueError, match=field.replace("_", "-")):
        Augmentation(**{field: value})


def test_a_run_without_augmentation_makes_no_noise_and_no_operations(index, monkeypatch):
    monkeypatch.setattr(erasing, "noise", lambda device: pytest.fail("a table of noise for nothing"))
    assert len(list(train(index, Augmentation()))) == 12
