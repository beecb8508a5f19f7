"""The demo set: the same everywhere, made once, and a task for a network rather than for a colour counter."""

import hashlib
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pipeline.drawing import SHAPES, area, coverage, picture_key, posed
from pipeline.synthetic import MARKER, VERSION, Contents, demo_folder, draw, make

ROOT = Path(__file__).resolve().parents[2]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def make_small(folder: Path, *, seed: int = 0, say: Callable[[str], None] = print) -> Path:
    return make(folder, seed=seed, classes=3, train=12, val=6, say=say)


def start_maker(folder: Path, *, train: int) -> subprocess.Popen[str]:
    code = (
        "import sys; from pathlib import Path; from pipeline.synthetic import make; "
        "make(Path(sys.argv[1]), classes=3, train=int(sys.argv[2]), val=6, say=print)"
    )
    command = [sys.executable, "-c", code, str(folder), str(train)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


# What is drawn


def test_sizes_labels_and_pixels_are_pinned() -> None:
    digest = hashlib.sha256()
    for split in ("train", "val"):
        for shape, image in Contents(train=20, val=20).images(split):
            pixels, _ = draw(0, split=split, shape=shape, image=image)
            digest.update(f"{split} {shape} {image} {pixels.mode} {pixels.size}".encode() + pixels.tobytes())
    assert digest.hexdigest()[:16] == "17c53d4564f7da8b"


def test_every_word_of_the_key_changes_the_picture() -> None:
    words = [(0, "train", "ring", 0), (1, "train", "ring", 0), (0, "val", "ring", 0)]
    words += [(0, "train", "star", 0), (0, "train", "ring", 1)]
    pictures = [draw(seed, split=split, shape=shape, image=image)[0] for seed, split, shape, image in words]
    assert len({pixels.tobytes() for pixels in pictures}) == 5


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_cover_the_drawn_share_and_stay_inside(shape: str) -> None:
    height, width = 90, 120
    for image in range(40):
        key = picture_key(seed=7, split=0, label=0, image=image)
        outline = posed(SHAPES[shape](), key=key, height=height, width=width)
        vertices = np.concatenate(outline)
        assert vertices.min() > 0
        assert vertices[:, 0].max() < width
        assert vertices[:, 1].max() < height
        inside = coverage(outline, height=height, width=width)
        # The key alone gives the area, whatever the shape: the same as a square's.
        square = area(posed(SHAPES["square"](), key=key, height=height, width=width))
        assert area(outline) == pytest.approx(square, rel=1e-9)
        assert inside.sum() == pytest.approx(square, rel=0.01)
        assert 0.3**2 < square / height**2 < 0.55**2


def test_coverage_is_exact_for_a_box_with_a_hole() -> None:
    box = np.array([(1.0, 1.0), (5.5, 1.0), (5.5, 4.0), (1.0, 4.0)])
    hole = np.array([(2.0, 2.0), (2.0, 3.0), (4.25, 3.0), (4.25, 2.0)])
    wanted = np.zeros((5, 7))
    wanted[1:4, 1:5], wanted[1:4, 5] = 1, 0.5
    wanted[2, 2:4], wanted[2, 4] = 0, 0.75
    np.testing.assert_allclose(coverage([box, hole], height=5, width=7), wanted, atol=1e-12)


# What lies in the folder


def test_a_set_is_a_tree_of_class_folders(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", classes=12, train=240, val=24)
    for split, count in (("train", 20), ("val", 2)):
        held = Counter(path.parent.name for path in (folder / split).rglob("*.jpg"))
        assert held == dict.fromkeys(SHAPES, count)
    kinds, sizes = set(), set()
    for path in (folder / "train").rglob("*.jpg"):
        with Image.open(path) as image:
            kinds.add((image.format, image.mode))
            sizes.add(image.size)
    assert kinds == {("JPEG", "L"), ("JPEG", "RGB")}
    assert all(48 <= side <= 160 for size in sizes for side in size)
    assert len(sizes) > 150
    assert min(width / height for width, height in sizes) < 0.7
    assert max(width / height for width, height in sizes) > 1.4


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (make_small(tmp_path / f"{i}", seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert files(first) == files(again)
    assert files(first).keys() == files(other).keys()
    assert not set(files(first).values()) & set(files(other).values())


@pytest.mark.parametrize(
    ("classes", "train", "val"), [(1, 20, 20), (len(SHAPES) + 1, 20, 20), (10, 9, 20), (10, 20, 9)]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, classes: int, train: int, val: int) -> None:
    with pytest.raises(ValueError, match="shapes can be drawn" if train == val else "needs an image in both"):
        make(tmp_path / "set", classes=classes, train=train, val=val)
    assert not list(tmp_path.iterdir())


# Making it once


def test_a_finished_set_is_left_alone(tmp_path: Path) -> None:
    folder = make_small(tmp_path / "set")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    said: list[str] = []
    make_small(folder, say=said.append)
    assert not said
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_several_makers_at_once_draw_one_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    makers = [start_maker(folder, train=600) for _ in range(3)]
    said = [maker.communicate(timeout=120)[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    assert sum("drawing" in line for line in said) == 1
    assert len(files(folder)) == 606
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.lock"}


def test_an_interrupted_making_leaves_no_set_and_is_made_again(tmp_path: Path) -> None:
    folder, aside = tmp_path / "set", tmp_path / ".set.making"
    maker = start_maker(folder, train=20_000)
    deadline = time.monotonic() + 60
    while not list(aside.glob("train/*/*.jpg")):
        assert time.monotonic() < deadline
        assert maker.poll() is None
        time.sleep(0.01)
    maker.send_signal(signal.SIGKILL)
    maker.communicate(timeout=60)
    assert not folder.exists()
    stray = aside / "train" / "ring" / "stray.jpg"
    stray.write_bytes(b"")
    make_small(folder)
    assert not aside.exists()
    assert files(folder) == files(make_small(tmp_path / "undisturbed"))


def test_a_set_that_lost_a_file_is_made_again(tmp_path: Path) -> None:
    folder = make_small(tmp_path / "set")
    whole = files(folder)
    (folder / "val" / "star" / "00001.jpg").unlink()
    assert files(make_small(folder)) == whole


def test_what_is_not_this_set_is_not_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "train" / "ring" / "holiday.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"precious")
    with pytest.raises(ValueError, match="remove it or name another"):
        make_small(tmp_path / "mine")
    assert mine.read_bytes() == b"precious"
    other = make_small(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="remove it or name another"):
        make_small(other)


def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="REXNET_CACHE=DIR"):
        demo_folder()


# What can be read from it without seeing shapes


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo set itself, after a half-made one was found in its place."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_CACHE", str(cache))
        half = cache / f"demo-{VERSION}" / "train" / "ring"
        half.mkdir(parents=True)
        (half / "00000.jpg").write_bytes(b"")
        folder = demo_folder()
    assert folder == cache / f"demo-{VERSION}"
    assert (folder / MARKER).exists()
    return folder


Split = tuple[torch.Tensor, torch.Tensor]
Table = tuple[dict[str, torch.Tensor], torch.Tensor]


def described(path: Path) -> dict[str, np.ndarray]:
    """What a picture shows to those who do not look at shapes."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    size, pixels = path.stat().st_size, image.width * image.height
    colours = np.asarray(image)
    channels = [np.bincount(colours[..., c].ravel() // 16, minlength=16) for c in range(3)]
    joint = np.bincount((colours // 64 @ np.array([16, 4, 1], np.uint8)).ravel(), minlength=64)
    rate, shape = np.log(size / pixels), np.log(image.width / image.height)
    return {
        "thumbnail": np.asarray(image.resize((8, 8), Image.Resampling.BOX)).ravel() / 255,
        "histogram": np.concatenate([*channels, joint]) / pixels,
        "bytes": np.array([np.log(size), np.log(size) ** 2]),
        "bytes and sides": np.array([np.log(size), rate, rate**2, np.log(pixels), shape, shape**2]),
    }


def table(folder: Path) -> Table:
    """Descriptions {name: [N, features]} and labels [N] of a split."""
    classes = sorted(path.name for path in folder.iterdir())
    paths = sorted(folder.rglob("*.jpg"))
    rows = [described(path) for path in paths]
    columns = {name: torch.tensor(np.array([row[name] for row in rows])) for name in rows[0]}
    return columns, torch.tensor([classes.index(path.parent.name) for path in paths])


def linear_accuracy(*, train: Split, val: Split) -> float:
    """Acc@1 on `val` of multinomial logistic regression fitted to `train`: features [N, D], labels [N]."""
    features, labels = train
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    layer = torch.nn.Linear(features.shape[1], 10, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer((features - mean) / deviation), labels)
        value = value + 1e-3 * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return 100 * float((layer((val[0] - mean) / deviation).argmax(1) == val[1]).double().mean())


@pytest.fixture(scope="module")
def tables(demo: Path) -> tuple[Table, Table]:
    return table(demo / "train"), table(demo / "val")


@pytest.mark.parametrize(
    ("feature", "bound"), [("thumbnail", 40), ("histogram", 15), ("bytes", 15), ("bytes and sides", 15)]
)
def test_the_class_cannot_be_read_without_the_shape(
    tables: tuple[Table, Table], feature: str, bound: float
) -> None:
    (train, train_labels), (val, val_labels) = tables
    assert linear_accuracy(train=(train[feature], train_labels), val=(val[feature], val_labels)) < bound


def test_the_linear_classifier_does_find_a_class_that_shows(tables: tuple[Table, Table]) -> None:
    (train, train_labels), (val, val_labels) = tables
    shown = [
        (columns["thumbnail"][:, :10] + 0.5 * F.one_hot(labels, 10), labels)
        for columns, labels in ((train, train_labels), (val, val_labels))
    ]
    assert linear_accuracy(train=shown[0], val=shown[1]) > 60


def test_place_and_extent_do_not_tell_the_class() -> None:
    splits = []
    for split, count in enumerate((400, 60)):
        boxes = []
        for label, shape in enumerate(list(SHAPES)[:10]):
            for image in range(count):
                key = picture_key(seed=0, split=split, label=label, image=image)
                vertices = np.concatenate(posed(SHAPES[shape](), key=key, height=96, width=96))
                low, high = vertices.min(0), vertices.max(0)
                boxes.append([*(low + high) / 2, *(high - low), *(high - low) ** 2])
        splits.append((torch.tensor(np.array(boxes)), torch.arange(10).repeat_interleave(count)))
    assert linear_accuracy(train=splits[0], val=splits[1]) < 40
