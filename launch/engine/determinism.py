"""Arithmetic whose sums are taken in the same order at every start, on a GPU too."""

import os

import torch


def make_deterministic() -> None:
    """Has torch, cuDNN and cuBLAS choose operations that give the same bits for the same input.

    Call it before the process touches its GPU. An operation that has no such form ends the run with torch's
    message (https://docs.pytorch.org/docs/stable/notes/randomness.html). On a CPU nothing changes.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
