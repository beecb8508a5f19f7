"""Files of one's choice as an index."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.listing import list_images


def draw(path: Path, *, width: int = 40, height: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), "red").save(path)
    return path


def test_files_and_folders_in_the_order_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "b.jpg")
    for name in ("set/z.png", "set/deep/a.jpg", "set/.hidden/c.jpg", "set/.d.jpg"):
        draw(tmp_path / name)
    (tmp_path / "set" / "notes.txt").write_text("no image")
    draw(tmp_path / "x.png", width=7).rename(tmp_path / "odd")
    monkeypatch.chdir(tmp_path)
    listing = list_images([Path("b.jpg"), Path("set"), Path("set/z.png"), Path("odd")])
    assert [str(file) for file in listing.files] == ["b.jpg", "set/z.png", "set/deep/a.jpg", "odd"]
    assert [listing.index.path(i) for i in range(4)] == [tmp_path / file for file in listing.files]
    assert listing.index.widths.tolist() == [40, 40, 40, 7] and listing.index.heights.tolist() == [30] * 4
    assert listing.index.sizes.tolist() == [file.stat().st_size for file in listing.files]
    assert not listing.bad and listing.index.labels.tolist() == [0] * 4


def test_what_is_no_image_is_told_apart(tmp_path: Path) -> None:
    good, text = draw(tmp_path / "good.png"), tmp_path / "text.jpg"
    text.write_text("no image")
    listing = list_images([text, tmp_path / "nowhere.jpg", good])
    assert listing.files == (good,)
    assert [path.name for path, _ in listing.bad] == ["text.jpg", "nowhere.jpg"]
    assert "neither JPEG nor PNG" in listing.bad[0][1] and listing.bad[1][1] == "is not there"


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    (tmp_path / "a.png").rename(strange)
    listing = list_images([tmp_path])
    assert listing.index.path(0) == strange and listing.files == (strange,)


def test_nothing_to_list(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"holds no image \(\.jpg, \.jpeg, \.png\)"):
        list_images([tmp_path])
    listing = list_images([tmp_path / "nowhere.jpg"])
    assert len(listing.index) == 0 and listing.index.ends.dtype == np.int64
