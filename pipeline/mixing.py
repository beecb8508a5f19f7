"""Mixup on the device (Zhang et al. 2017, https://arxiv.org/abs/1710.09412), one weight to a micro-batch."""

import torch
from torch import Tensor

from pipeline import sampling


def mixup(
    images: Tensor, labels: Tensor, *, alpha: float, seed: int, step: int, micro_batch: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix a micro-batch with a permutation of itself: w * image + (1 - w) * partner.

    images [B, 3, H, W] and labels [B] give (images, labels_b [B], weight [B] float32), where labels_b are the
    partners' labels and weight is w, the share of `labels`, drawn from Beta(alpha, alpha). At alpha 0 the
    images come back untouched. Weight and partners depend on (seed, step, micro_batch) alone; images keep
    their memory layout.
    """
    if alpha == 0:
        return images, labels, torch.ones(len(images), device=images.device)
    weight = sampling.mixup_weight(alpha=alpha, seed=seed, step=step, micro_batch=micro_batch)
    drawn = sampling.mixup_partners(len(images), seed=seed, step=step, micro_batch=micro_batch)
    partners = torch.from_numpy(drawn).to(images.device, non_blocking=True)
    mixed = images.mul(weight).add_(images[partners], alpha=1 - weight)
    return mixed, labels[partners], torch.full((len(images),), weight, device=images.device)
