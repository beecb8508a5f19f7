"""The preview program: draws training images on a page, by the pipeline that a run uses."""

from __future__ import annotations

from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from launch.naming import find_run
from launch.showing import PreviewRequest
from pipeline import order
from pipeline.eight_bits import eight_bits
from pipeline.index import Index, open_index
from pipeline.mixing import mix
from pipeline.pairing import pair
from pipeline.plans import Plan
from pipeline.randaugment import describe
from pipeline.storage import read_image
from pipeline.viewing import pixels, show

_CELL = 168
"""Least pixels of a cell's side: what its text needs."""

_LINE = 14
_GAP = 8
_MIXED = 2
"""Columns that show mixup or cutmix."""

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
"""Of the epochs: windows on the original, and headings."""


def draw_preview(request: PreviewRequest) -> str:
    """Draws the page and returns a line that says what it holds.

    Raises:
        ValueError: the folder holds no images in class folders, one of them is damaged, or the page's suffix
            is that of no format.
        OSError: the folder is not there, or the page cannot be written.
    """
    if request.out.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"--out {request.out}: the suffix is no image format's; for example preview.png")
    index = open_index(_train(request.folder))
    first = np.arange(min(request.images, len(index)))
    ids = order.at(first, seed=request.seed, count=len(index))[1]
    page = draw_page(index, ids, request)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    page.save(request.out)
    shown = f"{len(ids)} images of {index.root} in {request.epochs} epochs"
    return f"{request.out}: {shown}, augmentation of recipe {request.recipe}{_changes(request)}"


def _changes(request: PreviewRequest) -> str:
    """What the page's augmentation has other than its recipe's: ", erasing 0.2"."""
    asked, named = request.augmentation, find_run(request.recipe).augmentation
    changed = (
        field.name for field in fields(asked) if getattr(asked, field.name) != getattr(named, field.name)
    )
    return "".join(f", {name.replace('_', '-')} {getattr(asked, name):g}" for name in changed)


def _train(folder: Path) -> Path:
    return folder / "train" if (folder / "train").is_dir() else folder


def draw_page(index: Index, ids: NDArray[np.int64], request: PreviewRequest) -> Image.Image:
    """Returns rows of original, epochs and, with mixup or cutmix, mixed micro-batches of the page's images.

    Args:
        ids: of the images [B].

    Raises:
        ValueError: one of them is damaged.
    """
    augmentation, size, count = request.augmentation, request.augmentation.image_size, len(ids)
    epochs = np.repeat(np.arange(request.epochs), count)
    plan, images = show(
        index,
        augmentation=augmentation,
        seed=request.seed,
        epochs=epochs,
        ids=np.tile(ids, request.epochs),
        image_size=size,
    )
    shown, texts = pixels(images), _texts(plan)
    columns = [
        (f"epoch {e}", shown[e * count :][:count], texts[e * count :][:count]) for e in range(request.epochs)
    ]
    if count > 1 and (augmentation.mixup or augmentation.cutmix):
        for step in range(min(_MIXED, request.epochs)):
            own = images[step * count : (step + 1) * count].contiguous(memory_format=torch.channels_last)
            columns.append(_mixed(index, ids, own.clone(), request=request, step=step))

    side = max(_CELL, size)
    cell = side + 5 * _LINE + _GAP
    page = Image.new(
        "RGB", ((side + _GAP) * (1 + len(columns)) + _GAP, cell * count + 2 * _LINE + _GAP), "white"
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    draw.text((_GAP, _GAP // 2), "original and windows", fill="black", font=font)
    for row, i in enumerate(ids.tolist()):
        top = row * cell + 2 * _LINE
        windows = [
            (plan.inputs[0][e * count + row], plan.inputs[1][e * count + row]) for e in range(request.epochs)
        ]
        page.paste(_original(index, i, windows, side=side), (_GAP, top))
        name = [
            index.classes[index.labels[i]],
            index.path(i).name,
            f"{index.widths[i]} x {index.heights[i]} pixels",
        ]
        _write(draw, (_GAP, top + side), name, font=font, width=side)
    for column, (heading, squares, lines) in enumerate(columns, start=1):
        left = _GAP + column * (side + _GAP)
        colour = _COLOURS[(column - 1) % len(_COLOURS)] if column <= request.epochs else "black"
        draw.text((left, _GAP // 2), heading, fill=colour, font=font)
        for row in range(count):
            top = row * cell + 2 * _LINE
            square = Image.fromarray(squares[row])
            page.paste(square.resize((side, side), Image.Resampling.NEAREST), (left, top))
            _write(draw, (left, top + side), lines[row], font=font, width=side)
    return page


def _original(index: Index, i: int, windows: list[tuple[NDArray, NDArray]], *, side: int) -> Image.Image:
    """The whole image, fitted into a square, with every epoch's window in the epoch's colour."""
    with Image.open(BytesIO(read_image(index, i).tobytes())) as opened:
        image = eight_bits(opened).convert("RGB")
    scale = side / max(image.size)
    fitted = image.resize([max(1, round(scale * length)) for length in image.size], Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(fitted)
    for epoch, (start, shape) in enumerate(windows):
        (top, left), (bottom, right) = (start * scale).tolist(), ((start + shape) * scale).tolist()
        box = (left, top, max(left, right - 1), max(top, bottom - 1))
        draw.rectangle(box, outline=_COLOURS[epoch % len(_COLOURS)], width=2)
    return fitted


def _texts(plan: Plan) -> list[list[str]]:
    """What was drawn for every image of a plan, a few lines each."""
    _, shapes, _, flips, *_ = plan.inputs
    texts = []
    for row, ((height, width), flip) in enumerate(zip(shapes.tolist(), flips.tolist(), strict=True)):
        lines = [f"window {width} x {height}{', flipped' if flip else ''}"]
        if plan.drawn is not None:
            lines.extend(name for name in describe(plan.drawn, row) if name)
        erased = plan.erased[plan.erased[:, 0] == row]
        lines.extend(f"erased {w} x {h}" for _, _, _, h, w, _ in erased.tolist())
        texts.append(lines)
    return texts


def _mixed(
    index: Index, ids: NDArray[np.int64], images: torch.Tensor, *, request: PreviewRequest, step: int
) -> tuple[str, NDArray[np.uint8], list[list[str]]]:
    """A column of the page's images, mixed with each other as a micro-batch of theirs would be."""
    augmentation, count = request.augmentation, len(ids)
    draws = {"mixup": augmentation.mixup, "cutmix": augmentation.cutmix, "seed": request.seed, "step": step}
    pairing = pair(count, image_size=images.shape[-1], micro_batch=0, **draws)
    assert pairing is not None
    labels = torch.from_numpy(index.labels[ids].astype(np.int64))
    mixed, partners, weight = mix(images, labels, micro_batch=0, **draws)
    kind = "cutmix" if pairing.box else "mixup"
    texts = [
        [f"{share:.2f} {index.classes[own]}", f"{1 - share:.2f} {index.classes[other]}"]
        for share, own, other in zip(weight.tolist(), labels.tolist(), partners.tolist(), strict=True)
    ]
    return f"epoch {step} with {kind} of these {count}", pixels(mixed), texts


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    lines: list[str],
    *,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    width: int,
) -> None:
    """Writes lines below each other, each cut to `width` pixels."""
    for number, line in enumerate(lines):
        while draw.textlength(line, font=font) > width:
            line = line[:-2] + "…" if len(line) > 2 else ""
        draw.text((place[0], place[1] + 2 + number * _LINE), line, fill="black", font=font)
