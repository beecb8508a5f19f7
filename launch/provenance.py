"""Weights that a user names, and what is known of them: from the file itself, and from the run around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.data import output_names
from launch.reporting import run_files
from launch.reporting.run_files import RunFiles
from launch.weights import find_weights, variant_of
from rexnet.channels import TOTAL_STRIDE, variant_shape
from rexnet.files import read_metadata
from rexnet.metadata import read_class_names
from rexnet.weights import class_count

_RESULT = "model.safetensors"
_OF_A_RUN = (_RESULT, "last.pt", "previous.pt")
"""Files of weights in a run's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where weights come from. What is not known is None."""

    file: Path
    variant: str
    classes: int
    """Outputs of the network."""
    class_names: tuple[str, ...] | None
    """Output i is class_names[i]."""
    image_size: int | None
    """Pixels of a side of the crop that the weights were evaluated at."""
    crop_ratio: float | None
    interpolation: str | None
    run: RunFiles | None
    """The run that they are of."""
    final: bool
    """Whether they are the result of a finished run."""


def trace(
    named: str | Path, *, variant: str | None, flag: str = "--weights", say: Callable[[str], None]
) -> Provenance:
    """Returns what is known of the weights that `named` stands for: see `launch.weights.find_weights`.

    Args:
        variant: the network, where the weights do not tell it.
        flag: what was typed before the name.

    Raises:
        FileNotFoundError, ValueError: there are no weights, or nothing tells which network they are of.
    """
    file = find_weights(named, flag=flag, say=say)
    of_a_run = file.name in _OF_A_RUN and (file.parent / "run.json").is_file()
    run = run_files.read(file.parent) if of_a_run else None
    told = read_metadata(file) if file.suffix == ".safetensors" else {}
    of_run = _shown_by(run)
    name = _variant(file, asked=variant)
    classes = class_count(file, variant_shape(name))
    return Provenance(
        file=file,
        variant=name,
        classes=classes,
        class_names=_class_names(file, told, run, classes=classes),
        **showing({**of_run, **told}),
        run=run,
        final=run is not None and run.state == "done" and file.name == _RESULT,
    )


def showing(told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how a file or a run says that images are shown: image_size, crop_ratio and interpolation.

    What is not told, or makes no sense, is None.
    """
    return {
        "image_size": _number(told.get("image_size"), int, least=TOTAL_STRIDE),
        "crop_ratio": _number(told.get("crop_ratio"), float, least=0.01),
        "interpolation": told.get("interpolation"),
    }


def _variant(file: Path, *, asked: str | None) -> str:
    found = variant_of(file)
    if asked is not None:
        if found is not None and found != asked:
            raise ValueError(f"{file} holds weights of {found}, not of {asked}; leave out --variant")
        return asked
    if found is None:
        raise ValueError(
            f"nothing tells which network {file} is of, and no published one has its shapes; name it: "
            "--variant rexnet_WIDTH"
        )
    return found


def _shown_by(run: RunFiles | None) -> dict[str, Any]:
    """Returns how a run showed images at its evaluations."""
    asked = (run and run.facts.get("run")) or {}
    size = asked.get("eval_size") or (asked.get("augmentation") or {}).get("image_size")
    return {"image_size": size, **(asked.get("evaluation") or {})}


def _class_names(
    file: Path, told: dict[str, str], run: RunFiles | None, *, classes: int
) -> tuple[str, ...] | None:
    names = read_class_names(file) if "class_names" in told else None
    if names is None and run is not None and run.guesses is not None:
        names = [*run.guesses.classes]
    if names is None or len(names) > classes:
        return None
    return output_names(names, outputs=classes)


def _number(value: Any, kind: type, *, least: float) -> Any:
    """Returns a number that somebody wrote into a file; None where it is none that makes sense."""
    try:
        number = kind(value)
    except (TypeError, ValueError):
        return None
    return number if number >= least else None
