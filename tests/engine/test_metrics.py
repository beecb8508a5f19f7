"""Exact top-1 and top-5."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from launch.engine.metrics import Score, evaluate
from launch.engine.predictions import Predictions, label_ranks

pytestmark = pytest.mark.usefixtures("alone")


def test_ranks_equal_a_sort() -> None:
    logits = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 12
    order = logits.argsort(dim=1, descending=True)
    wanted = (order == labels[:, None]).int().argmax(dim=1)
    assert label_ranks(logits, labels).tolist() == wanted.tolist()


def test_a_constant_output_is_a_hit_for_class_0_alone() -> None:
    assert label_ranks(torch.zeros(4, 4), torch.arange(4)).tolist() == [0, 1, 2, 3]


def test_what_is_no_number_is_no_hit() -> None:
    logits = torch.tensor([[float("nan"), 1.0], [1.0, float("nan")]])
    assert (label_ranks(logits, torch.tensor([0, 1])) > 0).all()


class Same(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def batches(sizes: list[int]) -> list[SimpleNamespace]:
    made, start = [], 0
    for size in sizes:
        ids = np.arange(start, start + size)
        images = torch.randn(size, 8, 1, 1, generator=torch.Generator().manual_seed(start))
        made.append(SimpleNamespace(images=images, labels=torch.from_numpy(ids % 8), ids=ids, bad=[]))
        start += size
    return made


def test_score_counts_every_image_and_keeps_predictions_in_order() -> None:
    made = batches([5, 5, 3])
    group = dist.group.WORLD
    assert group is not None
    score, kept = evaluate(
        Same(), lambda: iter(reversed(made)), images=13, device=torch.device("cpu"), group=group, keep=True
    )
    logits, labels = torch.cat([b.images.flatten(1) for b in made]), torch.cat([b.labels for b in made])
    assert score.hits1 == int((logits.argmax(1) == labels).sum())
    assert score.hits5 == int((logits.topk(5).indices == labels[:, None]).sum())
    assert score.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-6)
    assert score.acc1 == 100 * score.hits1 / 13
    assert kept is not None and kept.ids.tolist() == list(range(13))
    assert kept.top5.tolist() == logits.topk(5).indices.tolist()
    assert kept.probabilities == pytest.approx(logits.softmax(1).topk(5).values.numpy(), rel=1e-5)


def test_a_bad_image_is_a_miss_and_has_no_part_in_the_loss() -> None:
    group = dist.group.WORLD
    assert group is not None

    def score(made: list[SimpleNamespace]) -> tuple[Score, Predictions]:
        score, kept = evaluate(
            Same(), lambda: iter(made), images=13, device=torch.device("cpu"), group=group, keep=True
        )
        assert kept is not None
        return score, kept

    clean, harmed = batches([5, 5, 3]), batches([5, 5, 3])
    _, before = score(clean)
    logits, labels = torch.cat([b.images.flatten(1) for b in clean]), torch.cat([b.labels for b in clean])
    good = [i for i in range(13) if i not in (1, 6, 7)]
    for batch, rows in ((harmed[0], [1]), (harmed[1], [1, 2])):
        for row in rows:
            batch.images[row] = 0
            batch.images[row, batch.labels[row]] = 9  # would be a hit
            batch.bad.append(
                SimpleNamespace(id=int(batch.ids[row]), file=f"{batch.ids[row]}.jpg", fault="is cut")
            )
    found, after = score(harmed)
    assert found.images == 13 and [str(bad) for bad in found.bad] == [f"{i}.jpg is cut" for i in (1, 6, 7)]
    assert found.hits1 == int((logits[good].argmax(1) == labels[good]).sum())
    assert found.hits5 == int((logits[good].topk(5).indices == labels[good][:, None]).sum())
    assert found.acc1 == 100 * found.hits1 / 13
    assert found.loss == pytest.approx(
        float(nn.functional.cross_entropy(logits[good], labels[good])), rel=1e-6
    )
    assert (after.top5[[1, 6, 7]] == -1).all() and not after.probabilities[[1, 6, 7]].any()
    assert after.top5[good].tolist() == before.top5[good].tolist()
    assert after.probabilities[good].tobytes() == before.probabilities[good].tobytes()


def test_a_set_of_bad_images_alone_has_no_loss() -> None:
    (made,) = batches([3])
    made.bad = [SimpleNamespace(id=i, file="f", fault="is cut") for i in range(3)]
    group = dist.group.WORLD
    assert group is not None
    score, _ = evaluate(Same(), lambda: iter([made]), images=3, device=torch.device("cpu"), group=group)
    assert (score.hits1, score.hits5, score.images, len(score.bad)) == (0, 0, 3, 3) and math.isnan(score.loss)


def test_a_lost_image_is_an_error() -> None:
    group = dist.group.WORLD
    assert group is not None
    with pytest.raises(RuntimeError, match="saw 5 images, but there are 6"):
        evaluate(Same(), lambda: iter(batches([5])), images=6, device=torch.device("cpu"), group=group)
