"""Out of memory: one sentence with the flag to type. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Literal

from launch.config import Run

if TYPE_CHECKING:
    from launch.engine.distributed import Place

Memory = Literal["GPU", "host"]


def exhausted(error: BaseException) -> Memory | None:
    """Returns whose memory an error says has run out: torch's or DALI's on a GPU, the host's; else None."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "defaultcpuallocator" in text:
        return "host"
    told = type(error).__name__ == "OutOfMemoryError" or "out of memory" in text
    return "GPU" if told and isinstance(error, RuntimeError) else None


def naming_the_micro_batch(run: Run) -> AbstractContextManager[None]:
    """Turns what runs out of memory in a training into a ValueError that names the micro-batch to type."""
    return _naming(lambda memory, place: remedy(run, memory=memory, rank=place.rank, ranks=place.world_size))


def naming_the_eval_batch(images: int) -> AbstractContextManager[None]:
    """Likewise for what shows `images` images at once: it names fewer, or a smaller size."""
    fewer = f"--eval-batch {images // 2}, or " if images > 1 else ""
    return _naming(
        lambda memory, place: f"{_short(memory, place, images)}: take {fewer}a smaller --image-size"
    )


def naming_the_evaluation(images: int, *, test_size: int | None) -> AbstractContextManager[None]:
    """Likewise for a training's evaluation of `images` images at once, at `test_size` if that is its size.

    Smaller micro-batches would not help it.
    """
    if test_size is not None:
        advice = f"take a --test-size below {test_size}, or None; the same command with it goes on"
    elif images > 1:
        advice = (
            f"take --eval-batch {images // 2}. That is another run, since sums of losses depend on it; this "
            "one goes on only where there is more memory"
        )
    else:
        advice = "take more memory"
    return _naming(lambda memory, place: f"{_short(memory, place, images)} in the evaluation: {advice}")


def _short(memory: Memory, place: Place, images: int) -> str:
    return f"rank {place.rank}: the {memory} has not enough memory to show {images} images at once"


@contextmanager
def _naming(told: Callable[[Memory, Place], str]) -> Iterator[None]:
    """The error is the user's to mend: the same command would come to the same end."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        memory = exhausted(error)
        if memory is None:
            raise
        from launch.engine.distributed import find_place

        raise ValueError(told(memory, find_place())) from None


def remedy(run: Run, *, memory: Memory, rank: int, ranks: int) -> str:
    """Returns what to do about a forward pass that does not fit into one rank's memory.

    >>> run = Run(batch=1024, micro_batch=64)
    >>> remedy(run, memory="GPU", rank=0, ranks=8).partition(".")[0]
    'rank 0: the GPU has not enough memory for micro-batches of 64 images: take --micro-batch 32'
    """
    images = run.micro_batch or run.batch // ranks
    fitting = [m for m in range(2, images) if run.batch % m == 0 and run.batch // m % ranks == 0]
    what = f"rank {rank}: the {memory} has not enough memory for micro-batches of {images} images"
    if not fitting:
        return (
            f"{what}, and no smaller one divides batch {run.batch} among {ranks} processes: take more memory"
        )
    return (
        f"{what}: take --micro-batch {fitting[-1]}. That is another run, since BatchNorm sees these images "
        "together; this one goes on only where there is more memory"
    )
