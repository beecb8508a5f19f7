"""A copy of the state at one moment, in memory that is allocated once and shared with the writer."""

import gc
import io
import mmap
import os
import pickle
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._utils import _rebuild_tensor_v2

from launch.engine.writer import Piece

_ALIGNMENT = 64  # bytes
_FOLDER = "checkpoint"  # of the file's members; torch.load takes any name
_STORAGES: dict[torch.dtype, type] = {
    torch.float64: torch.DoubleStorage,
    torch.float32: torch.FloatStorage,
    torch.float16: torch.HalfStorage,
    torch.bfloat16: torch.BFloat16Storage,
    torch.int64: torch.LongStorage,
    torch.int32: torch.IntStorage,
    torch.uint8: torch.ByteStorage,
    torch.bool: torch.BoolStorage,
}


class Snapshot:
    """Takes snapshots of a content whose tensors keep their number, shapes and types.

    A tensor is copied once, straight from where it lies and however it lies there. Only one snapshot exists:
    the next one overwrites it.

    Args:
        memory: descriptor of memory without a size.
        content: nested dicts, lists and tuples of tensors and plain values.
        pin: called with the buffer [bytes] uint8, so that a device copies into it fast.

    Attributes:
        trouble: why the buffer could not be pinned; copies are slower then.
    """

    def __init__(self, memory: int, content: Any, *, pin: Callable[[Tensor], None] = lambda buffer: None):
        self.memory = memory
        self.trouble: str | None = None
        _, tensors = _pickle(content)
        self._size = sum(_room(tensor) for tensor in tensors)
        os.ftruncate(memory, self._size)
        self._buffer = torch.frombuffer(mmap.mmap(memory, self._size), dtype=torch.uint8)
        self._views, offset = [], 0
        for tensor in tensors:
            flat = self._buffer[offset : offset + tensor.nbytes]
            self._views.append(flat.view(tensor.dtype).view(tensor.shape))
            offset += _room(tensor)
        self._ready = threading.Thread(target=self._fault_in, args=(pin,), daemon=True)
        self._ready.start()

    def _fault_in(self, pin: Callable[[Tensor], None]) -> None:
        """Has the system provide every page, beside the start of training rather than in the first copy."""
        os.posix_fallocate(self.memory, 0, self._size)
        self._buffer.zero_()
        try:
            pin(self._buffer)
        except RuntimeError as error:
            self.trouble = str(error)

    @torch.no_grad()
    def take(self, content: Any) -> list[Piece]:
        """Copies the content; returns the members of a file that `torch.load` reads, and where they stand."""
        self._ready.join()
        with _undisturbed():
            structure, tensors = _pickle(content)
            for view, tensor in zip(self._views, tensors, strict=True):
                assert view.dtype == tensor.dtype and view.shape == tensor.shape
                view.copy_(tensor)
        records = {"data.pkl": structure, "byteorder": sys.byteorder.encode(), "version": b"3\n"}
        pieces, offset = [], self._size
        for name, record in records.items():
            os.pwrite(self.memory, record, offset)
            pieces.append(Piece(name=f"{_FOLDER}/{name}", offset=offset, size=len(record)))
            offset += len(record)
        offset = 0
        for k, tensor in enumerate(tensors):
            pieces.append(Piece(name=f"{_FOLDER}/data/{k}", offset=offset, size=tensor.nbytes))
            offset += _room(tensor)
        return pieces


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Works by one thread, without garbage collection.

    Where other processes want the cores, each of a thousand meetings of threads can take milliseconds.
    """
    threads, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(1)
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()


@dataclass(slots=True)
class _Storage:
    """Stands for the bytes of one contiguous tensor."""

    kind: type
    key: str
    elements: int


class _Pickler(pickle.Pickler):
    """Writes the structure as `torch.save` does, with references in the place of the tensors' bytes."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, protocol=2)
        self.tensors: list[Tensor] = []

    def persistent_id(self, obj: Any) -> Any:
        return ("storage", obj.kind, obj.key, "cpu", obj.elements) if isinstance(obj, _Storage) else None

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        storage = _Storage(_STORAGES[obj.dtype], str(len(self.tensors)), obj.numel())
        self.tensors.append(obj)
        shape = tuple(obj.shape)
        return _rebuild_tensor_v2, (storage, 0, shape, _strides(shape), False, OrderedDict())


def _pickle(content: Any) -> tuple[bytes, list[Tensor]]:
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(content)
    return file.getvalue(), pickler.tensors


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a contiguous tensor, as torch counts them."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _room(tensor: Tensor) -> int:
    """Bytes that a tensor takes in the buffer."""
    return -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
