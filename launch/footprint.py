"""What of a GPU's memory a training takes, by estimate: nothing here has been measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from launch.config import Run
from rexnet.model import create_model

GIB = 2**30

V100_GIB = 15.75
"""Of a V100 of 16 GB, what the driver leaves."""

DALI_GIB = 3.0
"""Set aside for DALI's pools on the GPU, which grow to the largest batch and never shrink
(https://github.com/NVIDIA/DALI/issues/344, /486, /5087): the upper end of what users leave it."""

CUDA_GIB = 1.0
"""Set aside for CUDA's context, the libraries' workspace and DDP's buckets."""

_BYTES_OF_STATE = {"sgd": 4 * 4, "adamw": 5 * 4, "lamb": 5 * 4}  # weights, gradients, moments, EMA, in fp32


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """GiB of one process."""

    state: float
    kept: float
    """What the forward pass keeps for the backward one, in fp32; half of it in fp16 or bf16."""

    def total(self, *, half: bool) -> float:
        """With all that is set aside."""
        return self.state + self.kept / (2 if half else 1) + DALI_GIB + CUDA_GIB


def footprint(run: Run, *, micro_batch: int, classes: int) -> Footprint:
    """Returns the estimate for micro-batches of full size, with channels rounded up to 8."""
    model = create_model(run.variant, num_classes=classes, drop_path=run.drop_path, align=8).to("meta")
    state = sum(p.numel() for p in model.parameters()) * _BYTES_OF_STATE[run.optim.optimizer]
    kept = kept_bytes(model, size=run.augmentation.image_size) * micro_batch
    return Footprint(state=state / GIB, kept=kept / GIB)


def kept_bytes(model: torch.nn.Module, *, size: int) -> int:
    """Returns the bytes that the training-mode forward pass of one fp32 image keeps, parameters not counted.

    Counted on shapes alone, with two images, since BatchNorm takes no single one; what has another first
    dimension is no image's.
    """
    seen: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and tensor.shape[0] == 2:
            seen[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.empty(2, 3, size, size, device="meta")).sum()
    return sum(t.numel() * t.element_size() for t in seen.values()) // 2
