"""One evaluation of those that a command asks for: which weights, shown which way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.config import identity_fields
from launch.provenance import showing
from launch.request import Request, View
from launch.weights import find_weights, variant_of
from pipeline.shard import checksum
from rexnet.files import read_metadata

_ROOT = Path("runs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A file of weights, and the network that it is for."""

    path: Path
    sha256: str
    variant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Weights and a view; `folder` takes what comes out, `expect` is the Acc@1 in percent that is to."""

    given: Given
    view: View
    folder: Path
    expect: float | None


def find_given(request: Request, *, say: Callable[[str], None]) -> list[Given]:
    """Returns the weights that are asked for, in their order.

    The network is the one that is named, else what each file says by itself.

    Raises:
        ValueError, FileNotFoundError: a file is not there, is named twice, does not say its network, or is of
            another one than named.
    """
    found: list[Given] = []
    for name in request.weights:
        path = find_weights(name, say=say)
        digest = checksum(path)
        for other in found:
            if other.sha256 == digest:
                raise ValueError(f"{other.path} and {path} hold the same bytes; name one of them")
        told = variant_of(path)
        variant = request.variant or told
        if not variant:
            raise ValueError(
                f"{path} does not say which network it is of; name it: launch/evaluate.py rexnet_WIDTH "
                f"--weights {path}"
            )
        if told is not None and told != variant:
            rest = (
                ""
                if len(request.weights) == 1
                else ", or leave the name out, so that each file tells its own"
            )
            raise ValueError(
                f"{path} holds weights of {told}, not of {variant}: launch/evaluate.py {told}{rest}"
            )
        found.append(Given(path=path, sha256=digest, variant=variant))
    return found


def find_cases(request: Request, given: list[Given], *, data: str) -> tuple[list[Case], Path]:
    """Returns all evaluations, those of a view behind each other, and the folder of the command as a whole,
    which is that of the only evaluation where there is one.

    Args:
        data: the data set's identity.
    """
    pairs = [(view, each) for view in request.views() for each in given]
    named = [evaluation_folder(request, given=each, view=view, data=data) for view, each in pairs]
    if len(pairs) == 1:
        whole = request.out or _ROOT / named[0]
        folders = [whole]
    else:
        content = json.dumps(named)
        whole = request.out or _ROOT / f"evaluate-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        folders = [(request.out or _ROOT) / name for name in named]
    expected = request.expect or [None] * len(pairs)
    cases = [
        Case(given=g, view=v, folder=f, expect=e)
        for (v, g), f, e in zip(pairs, folders, expected, strict=True)
    ]
    return cases, whole


def evaluation_folder(request: Request, *, given: Given, view: View, data: str) -> str:
    """Returns the folder's name: a hash of weights, data and settings tells evaluations apart."""
    settings = [given.variant, request.num_classes, view.image_size, request.decoder]
    content = json.dumps([given.sha256, data, settings, identity_fields(view.evaluation)], sort_keys=True)
    return f"evaluate-{given.variant}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def told_otherwise(path: Path, views: Sequence[View]) -> str | None:
    """Returns the flags by which images are shown as a file says that its weights were evaluated.

    Returns None where one of `views` does so, and where the file does not say.
    """
    told = showing(read_metadata(path)) if path.suffix == ".safetensors" else {}
    own = {name: value for name, value in told.items() if value is not None}
    asked = [
        {
            "image_size": view.image_size,
            "crop_ratio": view.evaluation.crop_ratio,
            "interpolation": view.evaluation.interpolation,
        }
        for view in views
    ]
    if any(own.items() <= view.items() for view in asked):
        return None
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in own.items())
