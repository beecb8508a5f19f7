"""Mixup and cutmix on the device, one of them and one weight to a micro-batch.

Mixup: Zhang et al. 2017, https://arxiv.org/abs/1710.09412. Cutmix: Yun et al. 2019,
https://arxiv.org/abs/1905.04899.
"""

import torch
from torch import Tensor

from pipeline.pairing import Pairing, pair


def mix(
    images: Tensor,
    labels: Tensor,
    *,
    mixup: float,
    cutmix: float,
    seed: int,
    step: int,
    micro_batch: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix a micro-batch with a permutation of itself, by mixup or by cutmix.

    images [B, 3, S, S] and labels [B] give (images, labels_b [B], weight [B] float32), where labels_b are the
    partners' labels and weight is the share of `labels`: mixup's draw of Beta(alpha, alpha), or the area that
    cutmix's rectangle leaves. With both alphas 0 the images come back untouched. Images are changed in place
    and keep their memory layout. All that is drawn depends on (seed, step, micro_batch) alone.
    """
    pairing = pair(
        len(images),
        mixup=mixup,
        cutmix=cutmix,
        image_size=images.shape[-1],
        seed=seed,
        step=step,
        micro_batch=micro_batch,
    )
    if pairing is None:
        return images, labels, torch.ones(len(images), device=images.device)
    partners = torch.from_numpy(pairing.partners).to(images.device, non_blocking=True)
    _blend(images, partners, pairing)
    return images, labels[partners], torch.full((len(images),), pairing.weight, device=images.device)


def _blend(images: Tensor, partners: Tensor, pairing: Pairing) -> None:
    if pairing.box is None:  # the right-hand sides are copies, made before a partner is mixed itself
        others = images[partners]
        images.mul_(pairing.weight).add_(others, alpha=1 - pairing.weight)
    else:
        top, left, bottom, right = pairing.box
        inside = images[:, :, top:bottom, left:right]
        inside.copy_(inside[partners])
