"""All that changes during training, and nothing that does not."""

import copy
from dataclasses import astuple, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from launch.engine.bad_images import Bad
from launch.engine.optimizer import load_optimizer, save_optimizer, whole
from launch.engine.running_stats import RunningStats


class Average:
    """The exponential moving average of a model's weights and running statistics."""

    def __init__(self, model: nn.Module):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.stats = RunningStats(self.model)
        self.weights = list(self.model.parameters())

    @torch.no_grad()
    def update(self, model: nn.Module, stats: RunningStats, *, decay: float, skipped: Tensor) -> None:
        """Moves towards `model` by 1 - decay, or stays where `skipped` [] is true; decay 0 copies."""
        averages, current = [*self.weights, self.stats.values], [*model.parameters(), stats.values]
        self.stats.counts.copy_(stats.counts)
        if decay == 0:  # a skipped step has left the model as it was
            torch._foreach_copy_(averages, current)  # pyright: ignore
            return
        share = (1 - decay) * (~skipped).to(stats.values.dtype)
        distances = torch._foreach_sub(current, averages)  # pyright: ignore
        torch._foreach_mul_(distances, share)  # pyright: ignore
        torch._foreach_add_(averages, distances)  # pyright: ignore

    @torch.no_grad()
    def distance(self, model: nn.Module) -> float:
        """Returns the norm of `model`'s weights minus these, over that of `model`'s. Waits for the device."""
        weights = list(model.parameters())
        norms = [
            torch.nn.utils.get_total_norm(tensors, foreach=True)
            for tensors in (torch._foreach_sub(weights, self.weights), weights)  # pyright: ignore
        ]
        return float(norms[0] / norms[1])


@dataclass(slots=True)
class TrainState:
    """A training run at one moment; `step`, the optimizer steps taken, is its only clock."""

    model: nn.Module
    stats: RunningStats
    average: Average
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    skipped: int = 0
    """Steps skipped so far, known at log boundaries."""
    streak: int = 0
    """How many of them, up to the last step, in a row; likewise."""
    scored: int = 0
    """The step of the last evaluation that was written down; an interrupted one is made up for."""
    bad: list[Bad] = field(default_factory=list)
    """Images that proved bad so far, in both splits, likewise."""

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values only; nothing in it tells how tensors lay in memory."""
        return _whole(self.tensors())

    def tensors(self) -> dict[str, Any]:
        """Returns the same with the state's own tensors, or the corners of them that a checkpoint holds."""
        return {
            "step": self.step,
            "skipped": self.skipped,
            "streak": self.streak,
            "scored": self.scored,
            "bad": [astuple(bad) for bad in self.bad],
            "model": dict(self.model.state_dict()),
            "ema": dict(self.average.model.state_dict()),
            "optimizer": save_optimizer(self.optimizer, self.model),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes the state over, in the memory format and on the channel counts that this state has."""
        self.step, self.skipped = saved["step"], saved["skipped"]
        self.streak, self.scored = saved["streak"], saved["scored"]
        self.bad = [Bad(*bad) for bad in saved.get("bad", [])]
        self.model.load_state_dict(saved["model"])
        self.average.model.load_state_dict(saved["ema"])
        load_optimizer(self.optimizer, self.model, saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    return whole(value) if isinstance(value, Tensor) else value
