"""BatchNorm's running statistics as one flat tensor that moves once per optimizer step.

With n micro-batches on a rank, the k-th (from 1) uses momentum (m/n) / (1 - (n-k) m/n); the statistics
then have moved by m towards the mean over the n micro-batches, and one all-reduce averages the ranks. So
the statistics are those of all micro-batches, in whatever way these are spread over ranks.

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
        values: all means and variances, one after another with zeros between them.
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
        self._sent = buffers[0].new_zeros(sum(sizes) + 1)  # the last place is the loss's, for the way
        self.values = self._sent[:-1]
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

    def share_momentum(self, k: int, n: int) -> None:
        """Sets the momentum for the k-th (from 1) of n micro-batches."""
        assert self.momentum is not None
        share = self.momentum / n
        for norm in self.norms:
            norm.momentum = share / (1 - (n - k) * share)

    def snapshot(self) -> tuple[Tensor, Tensor]:
        """Returns copies of values and counts."""
        return self.values.clone(), self.counts.clone()

    def restore(self, before: tuple[Tensor, Tensor]) -> None:
        """Takes values and counts back to a snapshot."""
        self.values.copy_(before[0])
        self.counts.copy_(before[1])

    def average_ranks(self, loss: Tensor) -> Tensor:
        """Averages the ranks; returns [] bool: whether all their statistics and their `loss` [] are finite.

        A value that is not finite makes the sum over the ranks so: every rank comes to the same answer.
        """
        self._sent[-1] = loss
        self._sent.div_(dist.get_world_size())
        with record_function("all-reduce"):
            dist.all_reduce(self._sent)
        return self._sent.isfinite().all()

    def settle(self, before: tuple[Tensor, Tensor], *, skipped: Tensor) -> None:
        """Ends an optimizer step; where `skipped` [] is true, takes all back."""
        self.values.copy_(torch.where(skipped, before[0], self.values))
        self.counts.copy_(torch.where(skipped, before[1], before[1] + 1))
