"""The preview page, as a user draws it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launch.arguments import UsageError
from launch.previewing import draw_preview
from launch.recipes import RECIPES
from launch.showing import read_request
from pipeline import synthetic
from tests.launch.program import run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("preview") / "set", classes=3, train=12, val=3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))


def drawn(data: Path, out: Path, *flags: object) -> tuple[str, np.ndarray]:
    request = read_request([str(data), "--out", str(out), *map(str, flags)])
    assert request is not None
    line = draw_preview(request)
    with Image.open(out) as page:
        return line, np.asarray(page.convert("RGB")).astype(int)


def test_the_program_draws_a_page(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.png"
    done = run("preview", data, "--recipe", "rexnet_2.0", "--out", out, "--image-size", 64, "--images", 3)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    wanted = (
        f"{out}: 3 images of {data / 'train'} in 4 epochs, augmentation of recipe rexnet_2.0, image-size 64"
    )
    assert done.stdout.splitlines()[-1] == wanted
    with Image.open(out) as page:
        assert page.size == (7 * (168 + 8) + 8, 3 * (168 + 70 + 8) + 36)  # an original, 4 epochs, 2 mixed


def test_columns_are_other_draws_of_a_row_and_the_page_is_the_same_again(data: Path, tmp_path: Path) -> None:
    flags = ("--images", 2, "--epochs", 3, "--rand-ops", 2, "--erasing", 0.5)
    _, page = drawn(data, tmp_path / "a.png", *flags)
    _, again = drawn(data / "train", tmp_path / "b.png", *flags)
    _, other = drawn(data, tmp_path / "c.png", *flags, "--seed", 1)
    assert np.array_equal(page, again)
    assert page.shape == other.shape == (2 * 246 + 36, 4 * 176 + 8, 3) and not np.array_equal(page, other)
    cells = [page[28:196, 8 + c * 176 : 176 + c * 176] for c in range(4)]
    for i, one in enumerate(cells):
        assert one.std() > 10
        assert all(np.abs(one - two).mean() > 2 for two in cells[:i])


def test_flags_stand_on_the_recipes_augmentation() -> None:
    request = read_request(["somewhere", "--recipe=rexnet_3.0", "--cutmix", "1"])
    assert request is not None
    named = RECIPES["rexnet_3.0"].run.augmentation
    assert request.augmentation.cutmix == 1
    assert request.augmentation.mixup == named.mixup and request.augmentation.scale_min == named.scale_min


def test_mistakes_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'rexnet_1.0'"):
        read_request(["x", "--recipe", "rexnet1.0"])
    with pytest.raises(UsageError, match="erasing"):
        read_request(["x", "--erasing", "2"])
    with pytest.raises(UsageError, match="images"):
        read_request(["x", "--images", "0"])
    with pytest.raises(ValueError, match=r"preview\.png"):
        drawn(data, tmp_path / "page.xyz")
    done = run("preview", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("preview.py: ") and "nowhere" in done.stderr


def test_help_is_instant_for_it_imports_no_torch() -> None:
    program = "import sys; from launch import preview; assert preview.main(['--help']) == 0; "
    program += "assert not {'torch', 'numpy', 'nvidia'} & set(sys.modules)"
    here = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=here, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--rand-ops" in done.stdout
