"""BatchNorm's running statistics as one flat tensor that moves once per optimizer step.

Every micro-batch leaves its own statistics (momentum 1), which are added up; one all-reduce makes the mean
over all micro-batches of all ranks, and the statistics move towards that by the network's momentum. So they
are the same in whatever way micro-batches are spread over ranks, and all passes are one and the same
function, which a compiler likes.

An activation that is not finite ruins them for good, also where the loss and all gradients stay finite, as
behind a sigmoid or a clamp. So they are looked at before anything is made of the step.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.profiler import record_function

_APART = 64
"""Numbers: views begin at multiples of 256 bytes, as tensors of their own do. Kernels of cuDNN read several
numbers at once, and at odd places that ends the process with "misaligned address"."""


class RunningStats:
    """The running means and variances of a model, made views of one flat tensor.

    Attributes:
        values: all means and variances, one after another with zeros between them; within a step, those of
            the last micro-batch alone.
        counts: all `num_batches_tracked`, [norms] int64; they count optimizer steps.
    """

    def __init__(self, model: nn.Module):
        self.norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert self.norms, "the network has no BatchNorm"
        self.momentum = self.norms[0].momentum
        assert self.momentum is not None
        assert all(norm.momentum == self.momentum for norm in self.norms)
        buffers = [b for norm in self.norms for b in (norm.running_mean, norm.running_var) if b is not None]
        sizes = [-(-len(buffer) // _APART) * _APART for buffer in buffers]
        self.values = buffers[0].new_zeros(sum(sizes))
        self._sums = self.values.new_zeros(sum(sizes) + 1)  # the last place is the loss's, for the way
        self.counts = torch.stack(
            [n.num_batches_tracked for n in self.norms if n.num_batches_tracked is not None]
        )
        views = [
            part[: len(buffer)].copy_(buffer)
            for part, buffer in zip(self.values.split(sizes), buffers, strict=True)
        ]
        for i, norm in enumerate(self.norms):
            norm.running_mean, norm.running_var = views[2 * i : 2 * i + 2]
            norm.num_batches_tracked = self.counts[i]
            norm.momentum = 1.0

    def snapshot(self) -> tuple[Tensor, Tensor]:
        """Returns copies of values and counts."""
        return self.values.clone(), self.counts.clone()

    def restore(self, before: tuple[Tensor, Tensor]) -> None:
        """Takes values and counts back to a snapshot."""
        self.values.copy_(before[0])
        self.counts.copy_(before[1])

    def begin(self) -> tuple[Tensor, Tensor]:
        """Begins an optimizer step; returns a snapshot."""
        self._sums.zero_()
        return self.snapshot()

    def add(self) -> None:
        """Adds the statistics of the micro-batch that has passed forward."""
        self._sums[:-1] += self.values

    def average(self, losses: Tensor) -> Tensor:
        """Averages all micro-batches; returns [] bool: whether their statistics and `losses` [n] are finite.

        A value that is not finite makes the sum over the ranks so: every rank comes to the same answer.
        """
        self._sums[-1] = losses.sum()
        self._sums.div_(len(losses) * dist.get_world_size())
        with record_function("all-reduce"):
            dist.all_reduce(self._sums)
        return self._sums.isfinite().all()

    def settle(self, before: tuple[Tensor, Tensor], *, skipped: Tensor) -> None:
        """Ends an optimizer step, from the snapshot on; where `skipped` [] is true, takes all back."""
        assert self.momentum is not None
        moved = before[0].lerp(self._sums[:-1], self.momentum)
        self.values.copy_(torch.where(skipped, before[0], moved))
        self.counts.copy_(torch.where(skipped, before[1], before[1] + 1))
