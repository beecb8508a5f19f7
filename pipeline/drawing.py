"""Pictures of one shape each, as a pure function of integers: nothing here touches files.

Everything but the outline is drawn alike for all classes: colours, textures, place, turn and area. Areas are
equal, not diameters: a histogram would tell a thin shape from a thick one by its share of the pixels.
"""

from collections.abc import Callable
from math import acos, cos, pi, sin

import numpy as np

from pipeline.hashing import hash64, uniforms

Outline = list[np.ndarray]
"""Closed loops of vertices [V, 2] (x, y; y down); a loop that runs the other way round cuts a hole."""

PICTURE = 64
"""Stands in the hash's words where training has a `Stream`, apart from all of those."""

POSE, COLOURS, GRAIN, GROUND, FIGURE = range(5)
"""Slots of a picture's key: draws of different slots are independent."""


def picture_key(*, seed: int, split: int, label: int, image: int) -> int:
    """What all numbers of one picture are drawn from."""
    return int(hash64(seed, PICTURE, split, label, image))


def polar(radii: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Vertices [V, 2] at `radii` and `turns` (1 is a full circle, 0 points up)."""
    return np.stack([radii * np.sin(2 * pi * turns), -radii * np.cos(2 * pi * turns)], axis=1)


def rotation(turns: float) -> np.ndarray:
    c, s = cos(2 * pi * turns), sin(2 * pi * turns)
    return np.array([[c, -s], [s, c]])


def corners(*points: tuple[float, float]) -> Outline:
    return [np.array(points, dtype=float)]


def arc(*, radius: float = 1.0, start: float = 0.0, stop: float = 1.0, steps: int = 48) -> np.ndarray:
    return polar(np.full(steps, radius), np.linspace(start, stop, steps))


def ring() -> Outline:
    return [arc(), arc(radius=0.66)[::-1]]


def star() -> Outline:
    return [polar(np.tile([1.0, 0.45], 5), np.arange(10) / 10)]


def cross() -> Outline:
    quarter = np.array([(-0.27, -0.96), (0.27, -0.96), (0.27, -0.27)])
    return [np.concatenate([quarter @ rotation(turns / 4).T for turns in range(4)])]


def triangle() -> Outline:
    return [polar(np.ones(3), np.arange(3) / 3)]


def crescent() -> Outline:
    apart, radius = 0.42, 0.78  # a disc bitten by a smaller one; they meet at `meet` in y
    meet = (1 + apart**2 - radius**2) / (2 * apart)
    outer, inner = acos(meet) / (2 * pi), acos((meet - apart) / radius) / (2 * pi)
    bite = arc(radius=radius, start=1 - inner, stop=inner) - [0, apart]
    return [np.concatenate([arc(start=outer, stop=1 - outer), bite[1:-1]])]


def arrow() -> Outline:
    return corners((0, -1), (0.8, -0.1), (0.27, -0.1), (0.27, 1), (-0.27, 1), (-0.27, -0.1), (-0.8, -0.1))


def spiral() -> Outline:
    turns = np.linspace(0, 1.9, 72)
    radii, half = 0.12 + 0.4 * turns, 0.125
    return [np.concatenate([polar(radii + half, turns), polar(np.maximum(radii - half, 0), turns)[::-1]])]


def heart() -> Outline:
    t = np.arange(48) * (2 * pi / 48)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([x, -y], axis=1) / 17]


def bolt() -> Outline:
    left = [(-0.2, -0.9), (-0.8, 0.2), (-0.2, 0.2), (-0.5, 0.9)]
    return corners(*left, (0.8, -0.35), (0.2, -0.35), (0.6, -0.9))


def hourglass() -> Outline:
    return corners((-0.7, -0.9), (0.7, -0.9), (0.12, 0), (0.7, 0.9), (-0.7, 0.9), (-0.12, 0))


def square() -> Outline:
    return [polar(np.ones(4), np.arange(4) / 4 + 0.125)]


def gear() -> Outline:
    turns = (np.arange(9)[:, None] + [0.0, 0.45, 0.5, 0.95]) / 9
    return [polar(np.tile([1.0, 1.0, 0.72, 0.72], 9), turns.ravel()), arc(radius=0.35, steps=24)[::-1]]


SHAPES: dict[str, Callable[[], Outline]] = {
    shape.__name__: shape
    for shape in (ring, star, cross, triangle, crescent, arrow, spiral, heart, bolt, hourglass, square, gear)
}
"""Outlines by class name. The flip of a shape is of its class: runs may flip images."""


def area(outline: Outline) -> float:
    """Pixels that the outline encloses, holes taken off."""
    loops = ((loop, np.roll(loop, -1, axis=0)) for loop in outline)
    return abs(sum(float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) for a, b in loops)) / 2


def coverage(outline: Outline, *, height: int, width: int, rows: int = 4) -> np.ndarray:
    """Share of each pixel inside the outline: [height, width] in 0..1; `rows` scan lines a pixel.

    A scan line's crossing with an edge changes all that is to its right, so crossings are summed where they
    lie and then cumulated. Drawn here, not by Pillow, whose polygons differ between versions.
    """
    a = np.concatenate(outline)
    b = np.concatenate([np.roll(loop, -1, axis=0) for loop in outline])
    y = (np.arange(height * rows)[:, None] + 0.5) / rows
    line, edge = np.nonzero((a[:, 1] <= y) != (b[:, 1] <= y))
    slope = (b[edge, 0] - a[edge, 0]) / (b[edge, 1] - a[edge, 1])
    x = np.clip(a[edge, 0] + (y[line, 0] - a[edge, 1]) * slope, 0, width)
    sign = np.where(a[edge, 1] < b[edge, 1], 1.0, -1.0)
    column, pixel = x.astype(int), line // rows * (width + 2)
    part = sign * (x - column)
    cells = height * (width + 2)
    change = np.bincount(pixel + column, sign - part, cells) + np.bincount(pixel + column + 1, part, cells)
    filled = np.cumsum(change.reshape(height, width + 2), axis=1)[:, :width]
    return np.clip(np.abs(filled) / rows, 0, 1)


def posed(outline: Outline, *, key: int, height: int, width: int) -> Outline:
    """The outline mirrored, stretched, turned by up to 25 degrees and placed inside the middle square."""
    mirror, stretch, axis, turn, size, x, y = uniforms(key, POSE, np.arange(7)).tolist()
    shorter = min(height, width)
    scale = (0.33 + 0.13 * size) * shorter / area(outline) ** 0.5
    stretch = 1.12 ** (2 * stretch - 1)
    matrix = (
        rotation(0.14 * (turn - 0.5)) @ rotation(-axis) @ np.diag([stretch, 1 / stretch]) @ rotation(axis)
    )
    if mirror < 0.5:
        matrix = matrix @ np.diag([-1.0, 1.0])
    loops = [loop @ matrix.T * scale for loop in outline]
    low, high = np.min(np.concatenate(loops), axis=0), np.max(np.concatenate(loops), axis=0)
    room = np.maximum(0.94 * shorter - (high - low), 0)
    middle = np.array([width, height]) / 2 + room * [x - 0.5, y - 0.5]
    return [loop - (low + high) / 2 + middle for loop in loops]


def texture(*, key: int, slot: int, height: int, width: int) -> np.ndarray:
    """Clouds and stripes in random parts: [height, width], about -1..1."""
    cell, clouds, stripes, turn, period, phase = uniforms(key, slot, np.arange(6)).tolist()
    ys, xs = (blend(pixels, cell=4 + 20 * cell) for pixels in (height, width))
    knots = np.arange(ys.shape[1] * xs.shape[1]).reshape(ys.shape[1], xs.shape[1])
    field = clouds * (ys @ (3 * uniforms(key, slot, knots + 6) - 1.5) @ xs.T)
    step = 2 * pi / (4 + 12 * period)
    down = np.arange(height) * (step * sin(2 * pi * turn)) + 2 * pi * phase
    along = np.arange(width) * (step * cos(2 * pi * turn))
    return field + stripes**2 * np.sin(down[:, None] + along)


def blend(pixels: int, *, cell: float) -> np.ndarray:
    """Weights [pixels, knots] that run smoothly from one knot to the next, `cell` pixels apart."""
    knots = int(pixels / cell) + 2
    distance = np.abs(np.arange(pixels)[:, None] / cell - np.arange(knots))
    near = np.clip(1 - distance, 0, 1)
    return near * near * (3 - 2 * near)


def colours(*, key: int) -> np.ndarray:
    """Two colours [2, 3] in 0..1 whose brightness differs by 0.35 or more; either may be the brighter."""
    first, apart, *rest = uniforms(key, COLOURS, np.arange(6)).tolist()
    gap, low, high = 0.35, 0.08, 0.92
    # Steps of gap..span - gap round a circle of length span: both are uniform, and apart on the line too.
    span = high - low
    luma = low + np.array([first * span, (first * span + gap + apart * (span - 2 * gap)) % span])
    hue, strength = np.array(rest).reshape(2, 2, 1)
    chroma = (0.08 + 0.27 * strength) * np.cos(2 * pi * (hue - np.arange(3) / 3))
    return chroma - (chroma @ [0.299, 0.587, 0.114])[:, None] + luma[:, None]


def picture(shape: str, *, key: int, height: int, width: int) -> np.ndarray:
    """Draws one textured shape on a textured ground: uint8 [height, width, 3]."""
    outline = posed(SHAPES[shape](), key=key, height=height, width=width)
    inside = coverage(outline, height=height, width=width)
    ground, figure = (texture(key=key, slot=slot, height=height, width=width) for slot in (GROUND, FIGURE))
    grain = uniforms(key, GRAIN, np.arange(1 + height * width))
    light = 0.1 * (ground + inside * (figure - ground))
    light += 0.2 * grain[0] * (grain[1:].reshape(height, width) - 0.5)
    back, front = colours(key=key)[:, :, None, None]
    planes = back + inside * (front - back) + light
    return np.ascontiguousarray((np.clip(planes, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
