"""Smaller copies of encoded images: decoded, resized and coded again as JPEG by Pillow."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from pipeline.eight_bits import eight_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Resizing:
    """What becomes of images whose shorter side is longer than `short_side` pixels."""

    short_side: int
    quality: int = 95
    """Of the JPEG, 1 to 100 as libjpeg has it."""

    def __post_init__(self) -> None:
        if self.short_side < 1:
            raise ValueError(f"short-side is {self.short_side} pixels, but must be above 0: --short-side 320")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}, but a JPEG's is 1 to 100: --quality 95")


def resized(encoded: bytes, *, resizing: Resizing) -> bytes | None:
    """A JPEG of `encoded`, its shorter side `short_side` pixels; None where that is no longer already.

    Lanczos, antialiased; aspect ratio kept to the pixel; gray stays gray, all else becomes RGB;
    4:2:0. The image stays as it is stored: without EXIF rotation, and without the metadata.

    Raises what Pillow does for bytes that are no intact image.
    """
    with Image.open(BytesIO(encoded)) as opened:
        shorter = min(opened.size)
        if shorter <= resizing.short_side:
            return None
        image = eight_bits(opened)
    width, height = (max(1, round(side * resizing.short_side / shorter)) for side in image.size)
    out = BytesIO()
    smaller = image.resize((width, height), Image.Resampling.LANCZOS)
    smaller.save(out, "JPEG", quality=resizing.quality, subsampling="4:2:0")
    return out.getvalue()
