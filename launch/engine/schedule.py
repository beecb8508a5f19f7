"""Learning rate and EMA decay as pure functions of the step."""

import math

from launch.engine.config import Ema, Optim


def learning_rate(optim: Optim, *, step: int, steps: int, steps_per_epoch: float) -> float:
    """Returns the learning rate of optimizer step `step`, counted from 0.

    Rises in a line to `optim.lr` over the warmup, then falls to 0 at `steps` as half a cosine, or is a tenth
    of it from `steps` / 3 on and a hundredth from 2/3 on.

    Args:
        steps: optimizer steps of the whole run.
        steps_per_epoch: turns the warmup's epochs into steps; need not be whole.

    Raises:
        ValueError: `step` is outside [0, steps).

    Source: cosine, https://arxiv.org/abs/1608.03983 eq. 5 without restarts; warmup,
    https://arxiv.org/abs/1706.02677 section 2.2.

    >>> learning_rate(Optim(lr=1.0, warmup=1), step=0, steps=100, steps_per_epoch=10)
    0.1
    """
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is outside the run's {steps} steps")
    warmup = min(round(optim.warmup * steps_per_epoch), steps - 1)
    if step < warmup:
        return optim.lr * (step + 1) / warmup
    if optim.schedule == "step":
        return optim.lr * 0.1 ** (3 * step // steps)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def ema_decay(ema: Ema, *, step: int, steps_per_epoch: float) -> float:
    """Returns the share of the old average that stays after optimizer step `step`, counted from 0.

    The decay of the half-life, but at most (1 + step) / (10 + step), so that an early average does not
    drag the initial weights along. Without averaging it is 0.

    >>> ema_decay(Ema(half_life=1.0), step=0, steps_per_epoch=10)
    0.1
    """
    if ema.half_life == 0:
        return 0.0
    return min(0.5 ** (1 / (ema.half_life * steps_per_epoch)), (1 + step) / (10 + step))
