"""Which of two decoders shows a network its evaluation images."""

from __future__ import annotations

from typing import Any, Literal

Decoder = Literal["dali", "pillow"]


def check_decoder(decoder: Decoder, *, decode: str) -> None:
    """Raises ValueError where the decoder cannot work where it is to."""
    if decoder == "pillow" and decode == "gpu":
        raise ValueError("Pillow decodes on the CPU only: leave out --decode gpu, or --decoder pillow")


def eval_reader(decoder: Decoder) -> Any:
    """Returns `eval_batches` of that decoder; it alone is imported, so that Pillow's works without DALI.

    ValueError: DALI is not installed.
    """
    if decoder == "pillow":
        from pipeline.pillow import eval_batches
    else:
        try:
            from pipeline.loader import eval_batches
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{error.name} is missing, which DALI's decoder wants: --decoder pillow"
            ) from None
    return eval_batches
