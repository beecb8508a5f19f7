"""Bad files: what is told from their bytes, who stands in for them, and that nothing around them changes."""

import re
import shutil
import threading
import time
from collections import Counter
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from nvidia import nvimgcodec
from PIL import Image

from pipeline import graph, loader, pillow, reading
from pipeline.agreement import Packing
from pipeline.config import Augmentation, Feeding
from pipeline.index import open_index
from pipeline.loader import Share, train_batches
from pipeline.packing import pack
from pipeline.reading import SoundReader
from pipeline.rows import class_mates
from pipeline.soundness import find_fault
from tests.pipeline.test_loader import COUNT, CPU, draw_tree, evaluate, same, train
from tests.pipeline.test_pillow import show

JPEG, PNG = 6, 3  # images of both formats in draw_tree's order, of class a


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def index(tmp_path):
    return open_index(draw_tree(tmp_path / "train"), say=lambda line: None)


def numbered(index, number):
    """Position in the index of the image that draw_tree drew as `number`."""
    return next(i for i in range(COUNT) if index.path(i).stem == f"{number:02}")


def cut(content):
    return content[: len(content) // 2]


def cut_padded(content):
    """As long as before, and its head is whole: only the end mark is gone."""
    return content[: int(0.9 * len(content))] + bytes(len(content) - int(0.9 * len(content)))


def without_mark(content):
    return content[:-2] + bytes(2) if content[:2] == b"\xff\xd8" else content[:-12] + bytes(12)


def rotten(content):
    """Segments and chunks lead to the end mark, but what they hold is nonsense: only a decoder sees it, in a
    JPEG's tables of Huffman codes or in a PNG's pixels."""
    table = content.find(b"\xff\xc4")
    if content[:2] == b"\xff\xd8":
        return content[: table + 5] + b"\xff" * 16 + content[table + 21 :]
    first = content.index(b"IDAT") + 4
    return content[:first] + bytes(len(content) - first - 16) + content[-16:]


def other_picture(content):
    """A JPEG's frame header says 8 pixels more than the index."""
    at = content.index(b"\xff\xc0" if b"\xff\xc0" in content else b"\xff\xc2") + 6
    return content[:at] + bytes([content[at] + 8]) + content[at + 1 :]


TELL_TALE = {
    "cut": (cut, r"^has \d+ bytes, \d+ when it was indexed"),
    "empty": (lambda content: b"", "^is empty$"),
    "garbage": (lambda content: bytes(range(7, 107)) * (len(content) // 100 + 1), r"^has \d+ bytes"),
    "garbage of the same size": (
        lambda content: (bytes(range(7, 107)) * len(content))[: len(content)],
        "^is no intact image: neither JPEG nor PNG",
    ),
    "cut and padded": (cut_padded, "^has no end mark"),
    "without end mark": (without_mark, "^has no end mark"),
}


def harm(path, change):
    path.write_bytes(change(path.read_bytes()))


def fault_of(index, i):
    path = index.path(i)
    shape = {"size": int(index.sizes[i]), "height": int(index.heights[i]), "width": int(index.widths[i])}
    return find_fault(np.frombuffer(path.read_bytes(), np.uint8), **shape)


@pytest.mark.parametrize("number", [JPEG, PNG])
@pytest.mark.parametrize("kind", TELL_TALE)
def test_the_fault_shows_in_the_bytes(index, number, kind):
    change, fault = TELL_TALE[kind]
    i = numbered(index, number)
    path, reader = index.path(i), SoundReader(index)
    assert fault_of(index, i) is None and reader(i).tobytes() == path.read_bytes()
    harm(path, change)
    assert fault_of(index, i)
    found = reader(i)
    assert isinstance(found, str) and re.search(fault, found), found


def test_intact_images_have_no_fault(index):
    assert [fault_of(index, i) for i in range(COUNT)] == [None] * COUNT


def test_another_picture_of_the_same_size_is_bad(index):
    i = numbered(index, JPEG)
    harm(index.path(i), other_picture)
    height, width = int(index.heights[i]), int(index.widths[i])
    assert fault_of(index, i) == f"is {height + 8} x {width} pixels, {height} x {width} when it was indexed"


def test_the_end_mark_of_a_thumbnail_does_not_count():
    thumbnail = b"\xff\xda\0\0data\xff\xd9"
    head = b"\xff\xd8\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    frame = b"\xff\xc0\0\x0b\x08\0\x10\0\x20\x01\x01\x11\0"
    body = head + frame + b"\xff\xda\0\x08" + bytes(100)

    def fault(content):
        return find_fault(np.frombuffer(content, np.uint8), size=len(content), height=16, width=32)

    assert fault(body + b"\xff\xd9") is None
    assert fault(body + b"\xff\xd9" + b"after the end" * 20) is None
    assert fault(body) == "has no end mark: it is cut off"


def unchained(content):
    """Nothing but zeros from byte 200 on, up to the end mark."""
    return content[:200] + bytes(len(content) - 250) + content[-50:]


def test_a_broken_chain_is_found_before_a_decoder_sees_it(index):
    """DALI 2.2 ends the process by SIGSEGV over one in a batch of 64 on two threads."""
    share = Share(batch=64, micro_batch=64, rank=0, world_size=1)
    bad = [numbered(index, JPEG), numbered(index, 13)]
    for i in bad:
        harm(index.path(i), unchained)
        assert re.match("is no intact image: no JPEG marker at byte [0-9]+$", fault_of(index, i))
    found = [found for batch in train(index, share=share, workers=2, steps=(0, 2)) for found in batch.bad]
    assert {bad.id for bad in found} == set(bad)


def test_what_is_sound_to_us_is_an_image_to_nvimagecodec():
    """Random damage to the heads of drawn images; what we let pass must have a size in its eyes, too."""
    rng, passed, kinds = np.random.default_rng(0), 0, []
    for mode in ("RGB", "L"):
        for form, options in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})):
            out = BytesIO()
            pixels = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(out, form, **options)
            kinds.append(np.frombuffer(out.getvalue(), np.uint8))
    for k in range(1200):
        content = kinds[k % len(kinds)].copy()
        first = rng.integers(0, 700)
        content[first : first + rng.integers(1, 40)] = rng.integers(0, 256)
        if find_fault(content, size=len(content), height=40, width=50) is None:
            seen = nvimgcodec.CodeStream(content.tobytes())
            assert (seen.height, seen.width) == (40, 50)
            passed += 1
    assert 200 < passed < 1150


@pytest.mark.parametrize(("height", "width"), [(60_000, 60_000), (5, 60_000)])
def test_absurd_dimensions_are_bad(height, width):
    frame = b"\xff\xc0\0\x0b\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x01\x01\x11\0"
    content = np.frombuffer(b"\xff\xd8" + frame + b"\xff\xda" + bytes(9) + b"\xff\xd9", np.uint8)
    fault = find_fault(content, size=len(content), height=height, width=width)
    assert fault == f"is {height} x {width} pixels, which is absurd"


def test_class_mates_are_a_permutation_of_the_class_and_the_samples_own(index):
    mates = [tuple(class_mates(index, i, seed=1, epoch=e)) for i in range(COUNT) for e in range(3)]
    for i in range(COUNT):
        own = {j for j in range(COUNT) if index.labels[j] == index.labels[i]} - {i}
        assert all(set(found) == own for found in mates[3 * i : 3 * i + 3])
    assert len(set(mates)) == len(mates)
    first = Counter(class_mates(index, 0, seed=seed, epoch=0)[0] for seed in range(700))
    assert len(first) == 7 and max(first.values()) < 150  # of 100 expected


def victims(index):
    """Images of all formats and classes, each with what is to happen to it."""
    changes = [change for change, _ in TELL_TALE.values()]
    numbers = [JPEG, PNG, 1, 2, 4, 5]
    return {numbered(index, number): change for number, change in zip(numbers, changes, strict=True)}


def check_rows(index, clean, harmed, bad, **settings):
    """Rows of `bad` images show the class mate that is due, drawn for its size; all other bits are equal."""
    met = set()
    for before, after in zip(clean, harmed, strict=True):
        assert before.ids.tolist() == after.ids.tolist()
        assert torch.equal(before.labels, after.labels) and torch.equal(before.weight, after.weight)
        for row, i in enumerate(before.ids.tolist()):
            assert torch.equal(before.images[row], after.images[row]) == (i not in bad), (i, row)
        met |= {found.id for found in after.bad}
        assert {i for i in before.ids.tolist() if i in bad} <= {found.id for found in after.bad} <= set(bad)
    return met


UNREADABLE = {
    JPEG: lambda content: b"",
    1: lambda content: b"a text, called .jpg",
    5: lambda content: content[:20],  # cut off within its header
    PNG: lambda content: bytes(range(7, 107)) * 3,
}


@pytest.fixture
def unreadable(tmp_path, index):
    """The folder of `index` with four files that are no images, indexed as it stands."""
    root = tmp_path / "elsewhere" / "train"
    shutil.copytree(index.root, root)
    for number, change in UNREADABLE.items():
        harm(root / index.path(numbered(index, number)).relative_to(index.root), change)
    return open_index(root, say=lambda line: None)


def test_files_that_were_never_images_are_stood_in_for_as_those_that_become_bad(index, unreadable):
    clean = list(train(index))
    bad = {numbered(index, number): change for number, change in UNREADABLE.items()}
    assert unreadable.unreadable.tolist() == sorted(bad) and not len(index.unreadable)
    harmed = list(train(unreadable))
    assert check_rows(unreadable, clean, harmed, bad) == set(bad)
    for i, change in bad.items():
        harm(index.path(i), change)
    assert all(same(a, b) for a, b in zip(harmed, train(index), strict=True))
    for batches in (evaluate, lambda given: show(pillow, given)):
        shown, wanted = list(batches(unreadable)), list(batches(index))
        assert all(same(a, b) for a, b in zip(shown, wanted, strict=True))
        assert {found.id for batch in shown for found in batch.bad} == set(bad)


def test_a_file_that_was_no_image_when_it_was_indexed_stays_bad(index, unreadable):
    """As every rank and attempt sees it, whenever somebody has mended the file."""
    i = numbered(index, PNG)
    unreadable.path(i).write_bytes(index.path(i).read_bytes())
    assert f"has {index.sizes[i]} bytes, 300 when it was indexed" in SoundReader(unreadable)(i)
    whole = np.fromfile(index.path(i), np.uint8)
    fault = find_fault(whole, size=len(whole), height=0, width=0)
    assert fault == "was no readable JPEG or PNG when it was indexed"


def test_packed_they_are_the_same_data_set(index, unreadable, tmp_path):
    lost = unreadable.path(numbered(index, JPEG))
    lost.unlink()
    lost.symlink_to("nowhere")  # also 0 bytes
    said = []
    pack(unreadable, tmp_path / "packed", packing=Packing(), say=said.append)
    packed = open_index(tmp_path / "packed", say=lambda line: None)
    assert packed.identity == unreadable.identity
    assert packed.unreadable.tolist() == unreadable.unreadable.tolist()
    told = [line for line in said if line.endswith("packed as it is, since it cannot be decoded")]
    assert len(told) == len(UNREADABLE) and all("(no readable JPEG or PNG)" in line for line in told)
    for batches in (train, evaluate):
        pairs = list(zip(batches(packed), batches(unreadable), strict=True))
        assert all(same(a, b) for a, b in pairs)
        assert all([x.id for x in a.bad] == [x.id for x in b.bad] for a, b in pairs)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("start", [0, 3])
def test_bad_files_change_their_own_rows_alone(index, size, start):
    share = Share(batch=8, micro_batch=4, rank=0, world_size=size)
    steps = (start, 6)
    clean = [list(train(index, share=replace(share, rank=r), steps=steps)) for r in range(size)]
    alone = list(train(index, share=Share(batch=8, micro_batch=4, rank=0, world_size=1), steps=(0, 6)))
    bad = victims(index)
    for i, change in bad.items():
        harm(index.path(i), change)
    index.path(next(iter(bad))).unlink()
    harmed = [list(train(index, share=replace(share, rank=r), steps=steps)) for r in range(size)]
    for before, after in zip(clean, harmed, strict=True):
        check_rows(index, before, after, bad)
    whole = list(train(index, share=Share(batch=8, micro_batch=4, rank=0, world_size=1), steps=(0, 6)))
    assert check_rows(index, alone, whole, bad) == set(bad)
    shared = [harmed[k % size][k // size] for k in range(len(whole[2 * start :]))]
    assert all(same(a, b) and a.bad == b.bad for a, b in zip(whole[2 * start :], shared, strict=True))


def test_the_stand_in_is_drawn_with_the_numbers_of_its_place_for_its_own_size(index):
    """As if the stand-in's file and size stood at the bad image's place in the index."""
    bad = victims(index)
    for i, change in bad.items():
        harm(index.path(i), change)
    seen = 0
    for step, batch in enumerate(train(index)):
        for row, i in enumerate(batch.ids.tolist()):
            if i not in bad:
                continue
            epoch = (8 * step + row) // COUNT
            mate = next(j for j in class_mates(index, i, seed=1, epoch=epoch) if j not in bad)
            twin = [batch.images[row]]
            for name in ("heights", "widths", "sizes"):
                values = getattr(index, name).copy()
                values[i] = values[mate]
                twin.append(values)
            heights, widths, sizes = twin[1:]

            class Twin(type(index)):
                def path(self, k, i=i, mate=mate):
                    return index.path(mate if k == i else k)

            fields = {name: getattr(index, name) for name in index.__dataclass_fields__}
            other = Twin(**fields | {"heights": heights, "widths": widths, "sizes": sizes})
            wanted = next(train(other, steps=(step, step + 1)))
            assert torch.equal(wanted.images[row], batch.images[row])
            seen += 1
    assert seen >= 8


@pytest.mark.parametrize("start", [0, 2])
def test_what_only_a_decoder_sees_changes_its_own_rows_alone(index, start):
    clean = list(train(index, steps=(start, 6)))
    bad = {numbered(index, number): rotten for number in (JPEG, 13, PNG)}
    for i, change in bad.items():
        harm(index.path(i), change)
        assert fault_of(index, i) is None
    harmed = list(train(index, steps=(start, 6)))
    assert check_rows(index, clean, harmed, bad) == set(bad)
    assert {found.fault for batch in harmed for found in batch.bad} == {"cannot be decoded"}


def test_a_stand_in_that_does_not_decode_is_passed_over(index):
    clean = list(train(index, steps=(0, 3)))
    mates = [i for i in range(COUNT) if index.labels[i] == 0]
    for i in mates[:-1]:
        harm(index.path(i), rotten if i % 2 else without_mark)
    harmed = list(train(index, steps=(0, 3)))
    assert check_rows(index, clean, harmed, mates[:-1]) == set(mates[:-1])


def test_a_decoder_that_takes_nothing_is_no_fault_of_the_images(index, monkeypatch):
    def broken(pipe, *, device):
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(graph, "run", broken)
    with pytest.raises(RuntimeError, match="the driver is gone"):
        list(train(index))


def test_a_graph_that_fails_on_sound_images_is_an_error(index, monkeypatch):
    run = graph.run

    def brittle(pipe, *, device):
        images = run(pipe, device=device)
        if len(images) > 1:
            raise RuntimeError("out of memory")
        return images

    monkeypatch.setattr(graph, "run", brittle)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(train(index))


def test_a_class_without_a_good_image_is_an_error(index):
    for i in range(COUNT):
        if index.labels[i] == 1:
            harm(index.path(i), without_mark)
    with pytest.raises(ValueError, match=r"^not one image of class b in .*train can be shown; put intact"):
        list(train(index))


@pytest.mark.parametrize("batches", [evaluate, lambda index: show(pillow, index)], ids=["dali", "pillow"])
def test_evaluation_shows_black_and_changes_nothing_else(index, batches):
    clean = list(batches(index))
    bad = victims(index) | {numbered(index, 13): rotten, numbered(index, 10): rotten}
    for i, change in bad.items():
        harm(index.path(i), change)
    index.path(next(iter(bad))).unlink()
    harmed = list(batches(index))
    assert check_rows(index, clean, harmed, bad) == set(bad)
    named = [found for batch in harmed for found in batch.bad]
    assert len(named) == len(bad)
    for found in named:
        assert found.file == str(index.path(found.id)) and found.fault
    black = {
        tuple(b.images[r].mean((1, 2)).tolist()) for b in harmed for r in range(len(b.ids)) if b.ids[r] in bad
    }
    assert len(black) == 1 and np.allclose(
        next(iter(black)), [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )


def test_augmentation_and_stand_ins_go_together(index):
    def batches():
        return list(
            train_batches(
                index,
                augmentation=Augmentation(rand_ops=1, erasing=0.5),
                feeding=Feeding(workers=1),
                seed=1,
                share=Share(batch=8, micro_batch=8, rank=0, world_size=1),
                device=CPU,
                image_size=lambda step: 32,
                from_step=0,
                to_step=3,
            )
        )

    clean = batches()
    bad = victims(index)
    for i, change in bad.items():
        harm(index.path(i), change)
    assert check_rows(index, clean, batches(), bad)


class Flaky:
    """Fails `times` times for image 5, as the system does."""

    def __init__(self, times):
        self.times, self.asked, self.read = times, 0, reading.read_image

    def __call__(self, index, i):
        if i == 5:
            self.asked += 1
            if self.asked <= self.times:
                raise ValueError("cannot be read: Input/output error") from OSError(5, "Input/output error")
        return self.read(index, i)


def test_a_file_that_is_read_at_the_third_attempt_is_good(index, monkeypatch):
    monkeypatch.setattr(reading, "_RETRIES", (0.001, 0.002))
    clean = list(train(index))
    monkeypatch.setattr(reading, "read_image", flaky := Flaky(2))
    assert all(same(a, b) and not b.bad for a, b in zip(clean, train(index), strict=True))
    assert flaky.asked == 4  # twice in six steps
    monkeypatch.setattr(reading, "read_image", flaky := Flaky(3))
    assert SoundReader(index)(5) == "cannot be read: Input/output error" and flaky.asked == 3


def test_too_many_open_files_are_no_fault_of_an_image(index, monkeypatch):
    def read(index, i):
        raise ValueError("the shard cannot be opened: Too many open files") from OSError(24, "Too many")

    monkeypatch.setattr(reading, "read_image", read)
    with pytest.raises(ValueError, match="Too many open files"):
        list(train(index))


@pytest.mark.parametrize("left_behind", [False, True])
def test_reading_waits_for_data_that_is_gone_and_says_so_once(
    index, tmp_path, monkeypatch, capsys, left_behind
):
    monkeypatch.setattr(reading, "_WAITS", (0.05,))
    monkeypatch.setattr(loader, "_TOGETHER", 1)  # else all files have been read by then
    clean = list(train(index))
    batches = train(index, ahead=1)
    found = [next(batches)]
    index.root.rename(tmp_path / "elsewhere")
    if left_behind:
        index.root.mkdir()

    def bring_back():
        time.sleep(0.5)
        shutil.rmtree(index.root, ignore_errors=True)
        (tmp_path / "elsewhere").rename(index.root)

    thread = threading.Thread(target=bring_back)
    thread.start()
    found += list(batches)
    thread.join()
    assert all(same(a, b) and not b.bad for a, b in zip(clean, found, strict=True))
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{index.root} is gone; waiting until it is back", f"{index.root} is back"]


def test_closing_ends_the_waiting(index, tmp_path, capfd):
    batches = train(index, ahead=1, steps=(0, 1000))
    next(batches)
    index.root.rename(tmp_path / "elsewhere")
    time.sleep(0.1)
    began = time.monotonic()
    batches.close()
    assert time.monotonic() - began < 0.9  # the first pause between two looks is a second
