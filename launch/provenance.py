"""Weights that a user names, and what is known of them: from the file itself, and from the run around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from launch.reporting import run_files
from launch.reporting.run_files import RunFiles
from rexnet.channels import TOTAL_STRIDE, variant_shape
from rexnet.files import read_metadata
from rexnet.folding import fold_layers, is_folded
from rexnet.layouts import recognise, translate
from rexnet.metadata import read_class_names
from rexnet.model import ReXNet
from rexnet.published import published_variants
from rexnet.weights import class_count, read_state

_RESULT = "model.safetensors"
_OF_A_RUN = (_RESULT, "last.pt", "previous.pt")
"""Files of weights in a run's folder, the best first."""


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


def trace(given: Path, *, variant: str | None, say: Callable[[str], None]) -> Provenance:
    """Returns what is known of the weights in a file, or in a run's folder.

    Args:
        variant: the network, where the weights do not tell it.

    Raises:
        FileNotFoundError, ValueError: there are no weights, or nothing tells which network they are of.
    """
    file, folder = _locate(given.expanduser(), say=say)
    run = None if folder is None else run_files.read(folder)
    told = read_metadata(file) if file.suffix == ".safetensors" else {}
    of_run = _shown_by(run)
    name = _variant(file, asked=variant, told=told.get("variant") or (run and run.facts.get("variant")))
    classes = class_count(file, variant_shape(name))
    return Provenance(
        file=file,
        variant=name,
        classes=classes,
        class_names=_class_names(file, told, run, classes=classes),
        image_size=_number(told.get("image_size") or of_run.get("image_size"), int, least=TOTAL_STRIDE),
        crop_ratio=_number(told.get("crop_ratio") or of_run.get("crop_ratio"), float, least=0.01),
        interpolation=told.get("interpolation") or of_run.get("interpolation"),
        run=run,
        final=run is not None and run.state == "done" and file.name == _RESULT,
    )


def _locate(path: Path, *, say: Callable[[str], None]) -> tuple[Path, Path | None]:
    """Returns the file of weights, and the folder of the run that it lies in."""
    if path.is_file():
        inside = path.name in _OF_A_RUN and (path.parent / "run.json").is_file()
        return path, path.parent if inside else None
    if not path.is_dir():
        raise FileNotFoundError(
            f"there are no weights {path}; wanted is a run's folder, or a .safetensors or .pth file"
        )
    files = [path / name for name in _OF_A_RUN if (path / name).is_file()]
    if not (path / "run.json").is_file():
        inside = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".pth"))
        hint = f"; it holds {', '.join(map(str, inside[:4]))}" if inside else ""
        raise ValueError(f"{path} is no run's folder, it has no run.json; name a file of weights{hint}")
    if not files:
        raise FileNotFoundError(f"{path} holds no weights yet: the run has not come to its first checkpoint")
    if files[0].name != _RESULT:
        say(f"{path} is not finished: these are the averaged weights of its last checkpoint, {files[0].name}")
    return files[0], path


def _variant(file: Path, *, asked: str | None, told: Any) -> str:
    if asked is not None:
        variant_shape(asked)
        if told and told != asked:
            raise ValueError(f"{file} holds weights of {told}, not of {asked}; leave out --variant")
        return asked
    found = str(told) if told else fitting_variant(file)
    if found is None:
        raise ValueError(
            f"nothing tells which network {file} is of, and no published one has its shapes; name it: "
            "--variant rexnet_WIDTH"
        )
    variant_shape(found)
    return found


def fitting_variant(file: Path) -> str | None:
    """Returns the published network whose tensors have the shapes of those in `file`, or None.

    Raises:
        FileNotFoundError, ValueError: it holds no state dict.
    """
    state = read_state(file)
    for name in published_variants():
        shape = variant_shape(name)
        layout = recognise(state, shape)
        if layout is None or (shape.neck and layout == "timm"):
            continue
        ours = translate(state, shape, source=layout, to="ours")
        classes = ours["classifier.weight"].shape[0] if "classifier.weight" in ours else 0
        if not classes:
            continue
        with torch.device("meta"):
            model = ReXNet(shape, num_classes=classes)
            wanted = (fold_layers(model) if is_folded(ours) else model).state_dict()
        counters = {n: t for n, t in wanted.items() if n.endswith("num_batches_tracked")}
        if {n: t.shape for n, t in (counters | ours).items()} == {n: t.shape for n, t in wanted.items()}:
            return name
    return None


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
    return (*names, *(f"class {i}" for i in range(len(names), classes)))


def _number(value: Any, kind: type, *, least: float) -> Any:
    """Returns a number that somebody wrote into a file; None where it is none that makes sense."""
    try:
        number = kind(value)
    except (TypeError, ValueError):
        return None
    return number if number >= least else None
