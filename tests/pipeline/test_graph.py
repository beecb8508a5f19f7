import io
import re
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import graph
from pipeline.graph import Placement
from pipeline.sampling import central_windows

CPU = torch.device("cpu")
ON_CPU = Placement(operators="cpu", decoder="cpu", device_id=None)


def picture(height, width, mode="RGB"):
    """Something smooth with edges, so that filters and chroma matter as they do in photographs."""
    y, x = np.mgrid[:height, :width]
    wave = np.stack([np.sin(x / 9 + y / 17), np.cos(y / 7), np.sin((x + y) / 23)], axis=-1)
    pixels = (127.5 + 100 * wave + 27 * (x // 16 % 2)[..., None]).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return np.frombuffer(file.getvalue(), dtype=np.uint8)


def inputs(files, windows, size, flips):
    windows = np.array(windows, dtype=np.int32)
    sizes = np.full((len(files), 2), size, dtype=np.float32)
    starts, shapes = windows[:, :2].copy(), windows[:, 2:].copy()  # DALI takes dense arrays alone
    return files, starts, shapes, sizes, np.array(flips, dtype=np.int32)


def train_pipe(batches, *, batch, threads=1, placement=ON_CPU):
    return graph.build(graph.train_graph, iter(batches), placement=placement, batch=batch, threads=threads)


def as_pixels(images):
    """Undo the normalisation: [B, H, W, 3] in 0 .. 255."""
    return images.permute(0, 2, 3, 1).numpy() * np.array(graph.STD) * 255 + np.array(graph.MEAN) * 255


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_a_window_at_its_own_size_keeps_its_pixels(mode):
    image = picture(60, 80, mode)
    batch = inputs([encoded(image)] * 2, [[5, 7, 40, 40]] * 2, 40, [0, 1])
    pixels = as_pixels(graph.run(train_pipe([batch], batch=2), device=CPU))
    wanted = np.asarray(image.convert("RGB"))[5:45, 7:47]
    assert np.abs(pixels[0] - wanted).max() < 1e-3
    assert np.abs(pixels[1] - wanted[:, ::-1]).max() < 1e-3


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_train_images_match_pillow(mode):
    file = encoded(picture(150, 200, mode), "JPEG", quality=90)
    windows = [[10, 20, 100, 133], [0, 0, 150, 200], [31, 17, 30, 40], [149, 199, 1, 1]]
    pixels = as_pixels(graph.run(train_pipe([inputs([file] * 4, windows, 64, [0] * 4)], batch=4), device=CPU))
    image = Image.open(io.BytesIO(file.tobytes())).convert("RGB")
    for got, (y, x, h, w) in zip(pixels, windows, strict=True):
        wanted = image.crop((x, y, x + w, y + h)).resize((64, 64), Image.Resampling.BILINEAR)
        difference = np.abs(got - np.asarray(wanted, dtype=float))
        assert difference.mean() < 0.3
        assert difference.max() < 2.01  # Pillow rounds between its two passes, DALI does not


def test_images_are_not_rotated_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture(40, 60)
    file = encoded(image, "JPEG", quality=95, exif=exif)
    pixels = as_pixels(
        graph.run(train_pipe([inputs([file], [[0, 0, 40, 60]], 40, [0])], batch=1), device=CPU)
    )
    wanted = Image.open(io.BytesIO(file.tobytes())).resize((40, 40), Image.Resampling.BILINEAR)
    assert np.abs(pixels[0] - np.asarray(wanted, dtype=float)).max() < 1.01


def test_output_is_channels_last_and_dalis_own_memory(monkeypatch):
    batch = inputs([encoded(picture(50, 50))] * 3, [[0, 0, 50, 50]] * 3, 32, [0] * 3)
    pipe = train_pipe([batch], batch=3)
    seen = []
    take = pipe.run

    def watched(stream):
        seen.append(take(stream))
        return seen[-1]

    monkeypatch.setattr(pipe, "run", watched)
    images = graph.run(pipe, device=CPU)
    assert images.shape == (3, 3, 32, 32) and images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.data_ptr() == seen[0][0].as_tensor().data_ptr()


def test_size_and_batch_change_without_a_new_pipeline_and_old_batches_stay():
    file = encoded(picture(90, 120), "JPEG")
    shapes = [(4, 64), (2, 32), (4, 96), (1, 64), (4, 64), (3, 128), (4, 64), (4, 32)]
    batches = [inputs([file] * n, [[i, i, 80, 100]] * n, size, [0] * n) for i, (n, size) in enumerate(shapes)]
    pipe = train_pipe(batches, batch=4)
    kept, copies = [], []
    for n, size in shapes:
        kept.append(graph.run(pipe, device=CPU))
        copies.append(kept[-1].clone())
        assert kept[-1].shape == (n, 3, size, size)
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    with pytest.raises(StopIteration):
        graph.run(pipe, device=CPU)


def test_a_damaged_image_is_an_error():
    file = encoded(picture(90, 120), "JPEG")
    pipe = train_pipe([inputs([file[: len(file) // 2]], [[0, 0, 90, 120]], 32, [0])], batch=1)
    with pytest.raises(RuntimeError):
        graph.run(pipe, device=CPU)


def laid_out(name, **options):
    """How often a GPU graph has which operator on which device, and its serialised form."""
    placement = Placement(operators="gpu", device_id=None, **options)  # laid out, but not started
    own = {
        "train_graph": {},
        "train_graph with rand_ops": {"rand_ops": 2},
        "eval_graph": {"interpolation": "bicubic"},
    }
    wanted = getattr(graph, name.partition(" ")[0])
    pipe = wanted(iter([]), placement, **own[name], batch_size=4, num_threads=1, device_id=None)
    layout = pipe.serialize()
    specs = "".join(str(op.spec) for op in pipe._ops)
    return Counter(re.findall(r"(?s)OpSpec for (\w+):.*?device: (\w+)", specs)), layout


@pytest.mark.parametrize("window", ["roi", "crop"])
@pytest.mark.parametrize("decoder", ["mixed", "cpu"])
@pytest.mark.parametrize("name", ["train_graph", "eval_graph"])
def test_the_gpu_graphs_are_well_placed(name, decoder, window):
    placed, layout = laid_out(name, decoder=decoder, window=window)
    alone = name == "train_graph" and window == "roi"
    assert placed["decoders__ImageSlice", decoder] == alone and placed["decoders__Image", decoder] == (
        not alone
    )
    cut = name == "train_graph" and window == "crop"
    assert placed["Slice", "gpu" if decoder == "mixed" else "cpu"] == cut  # where the image lies by then
    assert placed["Resize", "gpu"] == placed["CropMirrorNormalize", "gpu"] == 1
    assert (b"mixed" in layout) == (decoder == "mixed")


@pytest.mark.parametrize("window", ["roi", "crop"])
@pytest.mark.parametrize("decoder", ["mixed", "cpu"])
def test_augmentation_of_the_gpu_graph_is_well_placed(decoder, window):
    placed, layout = laid_out("train_graph with rand_ops", decoder=decoder, window=window)
    assert len(layout) > 100_000
    decode = "decoders__ImageSlice" if window == "roi" else "decoders__Image"
    assert placed["ExternalSource", "cpu"] == 7 and placed[decode, decoder] == 1
    cut = Counter({("Slice", "gpu" if decoder == "mixed" else "cpu"): window == "crop"})
    once = ["Contrast", "Equalize", "Filter", "LookupTable", "Saturation", "WarpAffine", "reductions__Mean"]
    for name, times in {"Slice": 2, **dict.fromkeys(once, 1)}.items():
        assert placed[name, "gpu"] == 2 * times + cut[name, "gpu"], name
        assert placed[name, "cpu"] == cut[name, "cpu"], name
    assert placed["Resize", "gpu"] == placed["CropMirrorNormalize", "gpu"] == 1
    assert not any("random" in name for name, _ in placed)


@pytest.mark.parametrize(
    ("mode", "form"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG")]
)
def test_a_window_cut_out_of_the_whole_image_is_the_window_alone(mode, form):
    file = encoded(picture(150, 200, mode), form)
    windows = [[10, 20, 100, 133], [0, 0, 150, 200], [31, 17, 30, 40], [149, 199, 1, 1]]
    batch = inputs([file] * 4, windows, 64, [0, 1, 0, 1])
    alone, cut = (
        graph.run(train_pipe([batch], batch=4, placement=replace(ON_CPU, window=window)), device=CPU)
        for window in ("roi", "crop")
    )
    assert torch.equal(alone, cut)


def test_decoding_on_a_gpu_needs_one():
    assert graph.place(CPU, decode="auto") == graph.place(CPU, decode="cpu") == ON_CPU
    with pytest.raises(ValueError, match="--decode auto or --decode cpu"):
        graph.place(CPU, decode="gpu")


@pytest.mark.parametrize(("decode", "decoder"), [("auto", "mixed"), ("gpu", "mixed"), ("cpu", "cpu")])
def test_a_gpu_run_decodes_where_it_is_told(decode, decoder):
    wanted = Placement(operators="gpu", decoder=decoder, device_id=3)
    assert graph.place(torch.device("cuda", 3), decode=decode) == wanted


MIXED, MIXED_CROP, BY_CPU = ("mixed", "roi"), ("mixed", "crop"), ("cpu", "roi")


@pytest.mark.parametrize(
    ("decode", "window", "wanted"),
    [
        ("auto", "auto", [MIXED, MIXED_CROP, BY_CPU]),
        ("measure", "auto", [MIXED, MIXED_CROP, BY_CPU]),
        ("gpu", "auto", [MIXED, MIXED_CROP]),
        ("gpu", "crop", [MIXED_CROP]),
        ("cpu", "auto", [BY_CPU]),
        ("auto", "crop", [MIXED_CROP, ("cpu", "crop")]),
    ],
)
def test_what_may_be_tried_comes_in_order(decode, window, wanted):
    found = graph.placements(torch.device("cuda", 3), decode=decode, window=window)
    assert [(each.decoder, each.window) for each in found] == wanted
    assert all(each.operators == "gpu" and each.device == torch.device("cuda", 3) for each in found)
    if decode != "gpu":
        (only,) = graph.placements(CPU, decode=decode, window=window)
        assert (only.decoder, only.window, only.device) == ("cpu", "crop" if window == "crop" else "roi", CPU)


def test_threads_are_a_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(20)))
    cuda = torch.device("cuda", 0)
    assert graph.threads(0, device=cuda, processes=8) == 2
    assert graph.threads(0, device=cuda, processes=64) == 1
    assert graph.threads(0, device=CPU, processes=1) == 1
    assert graph.threads(7, device=CPU, processes=4) == graph.threads(7, device=cuda, processes=4) == 7


def shown_for_evaluation(files, shapes, *, image_size, crop_ratio, interpolation="bicubic"):
    """Pixels [B, S, S, 3] by the evaluation graph."""
    heights, widths = np.array(shapes).T
    starts, ends = central_windows(
        heights=heights, widths=widths, image_size=image_size, crop_ratio=crop_ratio
    )
    batch = files, starts, ends, np.full((len(files), 2), image_size, dtype=np.float32)
    wanted = partial(graph.eval_graph, interpolation=interpolation)
    pipe = graph.build(wanted, iter([batch]), placement=ON_CPU, batch=len(files), threads=1)
    return as_pixels(graph.run(pipe, device=CPU))


def resized_and_cropped(file, *, image_size, crop_ratio, filter):
    """torchvision's Resize and CenterCrop."""
    image = Image.open(io.BytesIO(file.tobytes())).convert("RGB")
    (w, h), shorter = image.size, int(image_size / crop_ratio)
    new = (shorter, int(shorter * w / h)) if h <= w else (int(shorter * h / w), shorter)
    top, left = (round((side - image_size) / 2) for side in new)
    image = image.resize((new[1], new[0]), filter)
    return np.asarray(image.crop((left, top, left + image_size, top + image_size)), dtype=float)


@pytest.mark.parametrize(
    ("side", "image_size", "crop_ratio"), [(None, 64, 0.875), (32, 64, 1.0), (32, 32, 1.0)]
)
def test_eval_images_match_pillow(side, image_size, crop_ratio):
    shapes = [(side, side)] * 4 if side else [(150, 200), (203, 77), (64, 65), (375, 500)]
    files = [encoded(picture(h, w), "JPEG", quality=90) for h, w in shapes]
    shape = {"image_size": image_size, "crop_ratio": crop_ratio}
    for got, file in zip(shown_for_evaluation(files, shapes, **shape), files, strict=True):
        wanted = resized_and_cropped(file, **shape, filter=Image.Resampling.BICUBIC)
        difference = np.abs(got - wanted)
        assert difference.mean() < 0.3
        assert difference.max() <= 16.01


@pytest.mark.parametrize(("image_size", "crop_ratio"), [(224, 0.875), (64, 0.875), (160, 0.8)])
def test_bilinear_eval_images_are_pillows_to_a_level(image_size, crop_ratio):
    """Two roundings in Pillow and one in DALI part them by one level at most."""
    shapes = [(375, 500), (500, 333), (203, 277), (301, 299), (256, 1000)]
    files = [encoded(picture(h, w), "JPEG", quality=90) for h, w in shapes]
    shape = {"image_size": image_size, "crop_ratio": crop_ratio}
    shown = shown_for_evaluation(files, shapes, **shape, interpolation="bilinear")
    for got, file in zip(shown, files, strict=True):
        wanted = resized_and_cropped(file, **shape, filter=Image.Resampling.BILINEAR)
        assert np.abs(got - wanted).max() < 1.01
