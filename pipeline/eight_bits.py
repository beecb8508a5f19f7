"""Images that Pillow opened, with 8 bits a sample."""

import numpy as np
from PIL import Image


def eight_bits(opened: Image.Image) -> Image.Image:
    """Gray as mode L, all else as RGB.

    16-bit gray, as microscopes and X-rays have it, is scaled and rounded as by DALI's decoder. Pillow's own
    conversion takes every level above 255 for white (https://github.com/python-pillow/Pillow/issues/3011); of
    16-bit colour it drops the lower byte, one level from DALI's at most.
    """
    if opened.mode.startswith("I"):  # I;16, or I before Pillow 10.3
        return Image.fromarray(np.rint(np.asarray(opened, np.float32) / 257).astype(np.uint8))
    return opened.convert("L" if opened.mode == "L" else "RGB")
