"""How long a run is and what falls on which step: plain numbers."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """The steps of a run over an endless stream of images.

    Attributes:
        batch: images per optimizer step, over all ranks.
        images: images of one epoch.
        epochs: length of the run; need not be whole.
        log_every: steps between two lines of metrics.
    """

    batch: int
    images: int
    epochs: float
    log_every: int

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run; the last one may reach past the last epoch."""
        return math.ceil(self.epochs * self.images / self.batch)

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps of one epoch; batches may straddle epochs, so it need not be whole."""
        return self.images / self.batch

    def epochs_over(self, step: int) -> int:
        """Returns how many whole epochs are over after `step` optimizer steps."""
        return step * self.batch // self.images

    def ends_epoch(self, step: int) -> bool:
        """Whether step number `step` (from 1) is the first past an epoch, or the run's last."""
        return step == self.steps or self.epochs_over(step) > self.epochs_over(step - 1)

    def owes_score(self, *, step: int, scored: int) -> bool:
        """Whether an epoch's evaluation is still to come at `step`, where the last one was at `scored`.

        That of the last epoch is not meant: it is the run's result.
        """
        return 0 < step < self.steps and self.ends_epoch(step) and scored != step

    def is_boundary(self, step: int) -> bool:
        """Whether metrics are written after step number `step` (from 1)."""
        return step % self.log_every == 0 or self.ends_epoch(step)
