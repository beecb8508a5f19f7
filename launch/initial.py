"""What a run begins with: the weights that --init-weights names, which are part of what makes it this run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launch.config import Run
from launch.folder import run_folders
from launch.weights import find_weights, variant_of
from pipeline.shard import checksum

if TYPE_CHECKING:
    from torch import Tensor

Say = Callable[[str], None]

_FLAG = "--init-weights"
_CLASSIFIER = "classifier."


@dataclass(frozen=True, kw_only=True, slots=True)
class Initial:
    """Weights and running statistics by their names in the network; without those that begin at random."""

    state: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    """What run.json says of them."""
    words: str
    """The same in a line."""


def with_checksum(run: Run, *, say: Say) -> Run:
    """Returns the run with the checksum of its initial weights, by which and not by whose path it is known.

    Where the file is gone, a run that has been started from it is still found: its run.json has the checksum.

    Raises:
        ValueError, FileNotFoundError: there are no such weights, or they are others than asked for.
    """
    if run.init_weights is None:
        return run
    try:
        path = find_weights(run.init_weights, flag=_FLAG, say=say)
    except (ValueError, FileNotFoundError):
        told = {run.init_sha256} if run.init_sha256 else set(_remembered(run))
        if len(told) != 1:
            raise
        return replace(run, init_sha256=told.pop())
    found = checksum(path)
    if run.init_sha256 not in (None, found):
        raise ValueError(
            f"the run begins with weights of sha256 {run.init_sha256}, but {path} has {found}: name the file "
            f"that it began with ({_FLAG} FILE), or for a run of its own: {_FLAG} {run.init_weights}"
        )
    return replace(run, init_sha256=found)


def read_initial(run: Run, *, classes: int, say: Say) -> Initial | None:
    """Returns what the run begins with, None where all of it is random.

    A classifier of another number of classes stays behind.

    Raises:
        ValueError, FileNotFoundError: there are no such weights, or they are of another network.
    """
    if run.init_weights is None:
        return None
    from rexnet.channels import variant_shape
    from rexnet.model import create_model
    from rexnet.weights import class_count, load_weights

    path = find_weights(run.init_weights, flag=_FLAG, say=say)
    told = variant_of(path)
    if told is not None and told != run.variant:
        raise ValueError(
            f"{path} holds weights of {told}, but the run's network is {run.variant}: --variant {told}, or "
            f"weights of {run.variant} ({_FLAG} FILE)"
        )
    known = class_count(path, variant_shape(run.variant))
    model = create_model(run.variant, num_classes=known)
    layout = load_weights(model, path)
    state: dict[str, Tensor] = model.state_dict()
    spoilt = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if spoilt:
        raise ValueError(
            f"{path} holds values that are not finite, in {spoilt[0]} and {len(spoilt) - 1} more"
        )
    replaced = known != classes
    if replaced:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIER)}
    what = (
        f"classifier of {known} classes replaced by one of {classes}, from random weights"
        if replaced
        else f"classifier of {known} classes kept"
    )
    return Initial(
        state=state,
        facts={
            "weights": str(path),
            "sha256": run.init_sha256,
            "layout": layout,
            "classes": known,
            "classifier": "replaced" if replaced else "kept",
        },
        words=f"initial weights {path}, layout {layout}, sha256 {(run.init_sha256 or '')[:12]}: {what}",
    )


def _remembered(run: Run) -> Iterator[str]:
    """Yields the checksums that earlier runs of this recipe, or that in --out, know of weights so named."""
    for folder in run_folders(run):
        try:
            settings = json.loads((folder / "run.json").read_text())["run"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if settings.get("init_weights") == run.init_weights and settings.get("init_sha256"):
            yield str(settings["init_sha256"])
