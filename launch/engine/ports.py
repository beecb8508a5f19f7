"""What the engine asks of its neighbours, as Protocols."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

Record = Mapping[str, float | int | str]
"""One line of metrics.jsonl: step, epoch, images_seen, kind, time and the metrics of that kind."""


Happening = tuple[str, Mapping[str, float | int | str]]
"""An event's name and facts, before the run adds its clock."""


class BadImage(Protocol):
    """An image that could not be shown: position in the split, file, and fault, which follows the name."""

    @property
    def id(self) -> int: ...
    @property
    def file(self) -> str: ...
    @property
    def fault(self) -> str: ...


class MicroBatch(Protocol):
    """Images [B, 3, H, W], labels and partners' labels [B], the weight of `labels` [B], ids [B].

    `bad` are images that could not be shown. In training others stand in; in evaluation they count as misses.
    """

    @property
    def images(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor: ...
    @property
    def labels_b(self) -> Tensor: ...
    @property
    def weight(self) -> Tensor: ...
    @property
    def ids(self) -> Any: ...
    @property
    def bad(self) -> Sequence[BadImage]: ...


class TrainBatches(Protocol):
    """The endless stream of this rank's micro-batches, addressed by the step; closing it ends its threads."""

    def __call__(self, *, from_step: int, to_step: int) -> Generator[MicroBatch]: ...


class EvalBatches(Protocol):
    """One pass over this rank's evaluation batches."""

    def __call__(self) -> Iterator[MicroBatch]: ...


class Saver(Protocol):
    """Saves the state at a log boundary where it is `due`; yields what there is to tell.

    With `wait` it returns when the state is safe, or raises. `failed` counts what could not be written.
    """

    @property
    def failed(self) -> int: ...
    def __call__(self, *, due: bool, wait: bool) -> Iterator[Happening]: ...


class Tracker(Protocol):
    """Where metrics go. `close` says how the attempt ended: done, requeue or fault."""

    def write(self, record: Record) -> None: ...
    def close(self, *, state: str) -> None: ...
