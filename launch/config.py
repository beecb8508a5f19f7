"""A whole run as one value. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.engine.config import ADDED, OPERATION, Ema, Keeping, Numerics, Optim
from pipeline.config import Augmentation, Evaluation, Feeding
from rexnet.channels import TOTAL_STRIDE, variant_shape


def check_image_size(size: int | None, *, flag: str = "image-size") -> None:
    """Raises ValueError for a size, in pixels, that the network cannot take; None is none."""
    if size is not None and size < TOTAL_STRIDE:
        raise ValueError(
            f"{flag} is {size} pixels, but the network takes {TOTAL_STRIDE} or more: it shrinks an image "
            f"{TOTAL_STRIDE}-fold (--{flag} {TOTAL_STRIDE})"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run."""

    recipe: str = "custom"
    """Name of the recipe this run started from."""

    variant: str = "rexnet_1.0"
    """The network: rexnet_ and its width."""

    data: Path | None = field(default=None, metadata=OPERATION)
    """Folder that holds train/ and val/ with one folder of images per class."""

    out: Path | None = field(default=None, metadata=OPERATION)
    """The run's folder. Default: runs/<recipe>-<hash of all that makes the run this run>."""

    epochs: float = 90
    """Passes over the train split."""

    batch: int = 1024
    """Images per optimizer step, over all GPUs."""

    micro_batch: int | None = 64
    """Images per forward pass. BatchNorm and mixup see these together, so it is part of the run.
    None: batch / GPUs of the first start."""

    seed: int = 0
    """Of everything random."""

    eval_size: int | None = None
    """Pixels of a side of the evaluation crop. None: the training crop's."""

    test_size: int | None = field(default=None, metadata=OPERATION)
    """Another size at which the final weights are evaluated, too; told beside the result, never as it."""

    dropout: float = 0.2
    """Probability of dropping a feature before the classifier."""

    drop_path: float = 0.0
    """Probability of dropping the last residual branch; earlier ones' rise to it in a line."""

    hold_out: float = 0.0
    """Share of the training images, chosen by hash, that is not trained on but evaluated in the place of val,
    which is then looked at once, with the last weights."""

    init_weights: str | None = field(default=None, metadata=OPERATION)
    """Weights to begin with: a file, the folder of a run, or hf-hub:OWNER/NAME. A random classifier takes
    the place of one of another number of classes."""

    init_sha256: str | None = field(default=None, metadata=ADDED)
    """SHA-256 of the file of these weights, which is refused where it has another. None: what it has."""

    num_classes: int | None = field(default=None, metadata=ADDED)
    """Outputs of the network. None: as many as train has class folders."""

    optim: Optim = field(default_factory=Optim)
    ema: Ema = field(default_factory=Ema)
    augmentation: Augmentation = field(default_factory=Augmentation)
    evaluation: Evaluation = field(default_factory=Evaluation)
    numerics: Numerics = field(default_factory=Numerics)
    feeding: Feeding = field(default_factory=Feeding)
    keeping: Keeping = field(default_factory=Keeping)

    def __post_init__(self) -> None:
        variant_shape(self.variant)
        sizes = {
            "image-size": self.augmentation.image_size,
            "start-size": self.augmentation.start_size,
            "eval-size": self.eval_size,
            "test-size": self.test_size,
        }
        for flag, size in sizes.items():
            check_image_size(size, flag=flag)
        if self.epochs <= 0:
            raise ValueError(f"epochs is {self.epochs:g}, but must be positive")
        if self.batch < 2 or (self.micro_batch is not None and self.micro_batch < 2):
            raise ValueError("batch and micro-batch must be at least 2: BatchNorm needs two images")
        if not 0 <= self.hold_out <= 0.5:
            raise ValueError(
                f"hold-out is {self.hold_out:g}, but is a share of the training images, at most 0.5: "
                "--hold-out 0.01"
            )
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num-classes is {self.num_classes}, but a network has at least one class")
        if self.init_sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.init_sha256):
            raise ValueError(
                f"init-sha256 is {self.init_sha256}, but is 64 hex digits, as sha256sum prints them"
            )
        if self.init_sha256 is not None and self.init_weights is None:
            raise ValueError(
                "init-sha256 is that of the initial weights: name them, too: --init-weights FILE"
            )
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', '-')} is a probability: at least 0 and below 1")


def to_plain(value: Any) -> Any:
    """Returns a configuration as values that JSON knows."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: type, plain: Mapping[str, Any]) -> Any:
    """Returns the configuration that `to_plain` was given.

    Raises:
        ValueError: a field is not known.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in plain.items():
        if name not in hints:
            raise ValueError(f"{name!r} is no setting of {kind.__name__}; there are {', '.join(hints)}")
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            values[name] = from_plain(hint, value)
        else:
            values[name] = Path(value) if Path in typing.get_args(hint) and value is not None else value
    return kind(**values)


def identity_fields(value: Any) -> Any:
    """Returns what of a configuration makes the run this run, as values that JSON knows."""
    if not dataclasses.is_dataclass(value):
        plain = to_plain(value)
        whole = isinstance(plain, float) and plain.is_integer()
        return int(plain) if whole else plain  # 90 and 90.0, which --epochs 90 gives, are one run
    kept = (
        f
        for f in dataclasses.fields(value)
        if not f.metadata.get("operation")
        and not (f.metadata.get("added") and getattr(value, f.name) == f.default)
    )
    fields = {f.name: identity_fields(getattr(value, f.name)) for f in kept}
    return {name: field for name, field in fields.items() if field != {}}


def identity(run: Run, *, train: str, val: str) -> str:
    """Returns the hash [8 hex digits] of a run's identity fields and its data sets' identities."""
    return fields_identity(identity_fields(run), train=train, val=val)


def fields_identity(fields: Mapping[str, Any], *, train: str, val: str) -> str:
    """Returns the `identity` of a run by its identity fields."""
    content = json.dumps([fields, train, val], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]
