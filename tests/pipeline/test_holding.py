"""The slice of the training images that is kept back."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import synthetic
from pipeline.agreement import Packing
from pipeline.holding import hold_out
from pipeline.index import Index, open_index
from pipeline.packing import pack
from pipeline.storage import read_image


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("held") / "set", classes=4, train=200, val=8)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))


def names(index: Index) -> list[bytes]:
    return [index.name(i) for i in range(len(index))]


def test_both_parts_are_the_whole(folders: Path) -> None:
    whole = open_index(folders / "train", say=lambda line: None)
    trained, held = hold_out(whole, share=0.2)
    assert sorted(names(trained) + names(held)) == sorted(names(whole))
    assert 20 <= len(held) <= 60
    place = {name: i for i, name in enumerate(names(whole))}
    for part in (trained, held):
        for i, name in enumerate(names(part)):
            same = place[name]
            assert part.labels[i] == whole.labels[same] and part.sizes[i] == whole.sizes[same]
            assert (part.heights[i], part.widths[i]) == (whole.heights[same], whole.widths[same])
            assert np.array_equal(read_image(part, i), read_image(whole, same))
    assert trained.classes == held.classes == whole.classes


def test_of_packed_images(folders: Path, tmp_path: Path) -> None:
    whole = open_index(folders / "train", say=lambda line: None)
    pack(whole, tmp_path / "out", packing=Packing(shard_size=12_000), say=lambda line: None)
    parts = hold_out(open_index(tmp_path / "out", say=lambda line: None), share=0.2)
    for packed, loose in zip(parts, hold_out(whole, share=0.2), strict=True):
        assert names(packed) == names(loose) and packed.shards is not None
        assert all(np.array_equal(read_image(packed, i), read_image(loose, i)) for i in range(len(loose)))


def test_it_is_the_same_slice_always_and_a_smaller_one_lies_within(folders: Path) -> None:
    whole = open_index(folders / "train", say=lambda line: None)
    first, again = (set(names(hold_out(whole, share=0.2)[1])) for _ in range(2))
    assert first == again
    assert set(names(hold_out(whole, share=0.1)[1])) < first


def test_too_small_a_slice_is_refused(folders: Path) -> None:
    whole = open_index(folders / "train", say=lambda line: None)
    with pytest.raises(ValueError, match="keeps back no image; take more"):
        hold_out(whole, share=1e-6)
