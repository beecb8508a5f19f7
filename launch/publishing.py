"""The results row: what a finished run has reached, as a small JSON file for results/. No torch."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from launch.config import Run, fields_identity
from launch.folder import write_json
from launch.recipes import RECIPES
from launch.reporting import run_files
from launch.reporting.classes import hits
from launch.reporting.figures import attempts, time_spent
from launch.reporting.run_files import RunFiles
from pipeline.shard import checksum

RESULTS = Path(__file__).resolve().parents[1] / "results"


def publish(folder: Path, *, results: Path = RESULTS, link: str | None = None) -> Path:
    """Writes the row of the run in `folder` into `results` and returns its path; an earlier one is replaced.

    Args:
        link: the address that the weights can be loaded from.

    Raises:
        ValueError, FileNotFoundError: the run is not fit to be published; the message says why.
    """
    if link is not None and not re.fullmatch(r"https://[\w.-]+/[\w./~%+-]*", link):
        raise ValueError(
            f"link is {link!r}, but must be an address of the kind https://host/path, without a query"
        )
    if folder.resolve().name.endswith(("-smoke", "-profile")):
        raise ValueError(f"{folder} is a test of a few steps, not a run; only runs are published")
    run = run_files.read(folder)
    final = _final(run, folder)
    _check_identity(run, folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is gone; a result is published with the checksum of its weights")
    path = results / f"{run.facts['recipe']}-{run.facts['identity']}.json"
    write_json(path, row(run, final) | {"sha256": checksum(weights), "link": link})
    return path


def row(run: RunFiles, final: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is published of a run but for its weights; accuracies in percent, nothing of its paths."""
    facts = run.facts
    fields, data, plan = facts["identity_fields"], facts["data"], facts["plan"]
    return {
        "recipe": facts["recipe"],
        "variant": facts["variant"],
        "data": data["name"],
        "acc1": round(final["eval/acc1"], 4),
        "acc5": round(final["eval/acc5"], 4),
        "images": final["eval/images"],
        "weights": f"final {run.called(final['weights'])}",
        "epochs": fields["epochs"],
        "batch": fields["batch"],
        "seed": fields["seed"],
        "minutes": round(time_spent(run) / 60, 1),
        "attempts": attempts(run),
        "machine": machine(facts),
        "precision": facts["found"]["precision"],
        "versions": facts["versions"],
        "git": facts["git"],
        "date": datetime.fromtimestamp(final["time"], tz=timezone.utc).date().isoformat(),
        "command": command(
            fields, ranks=plan["ranks"], nodes=plan["nodes"], data=facts["run"]["data"] is not None
        ),
        "identity": facts["identity"],
        "settings": fields,
    }


def command(fields: Mapping[str, Any], *, ranks: int, nodes: int = 1, data: bool = True) -> str:
    """Returns the command that starts a run of these identity fields again.

    Args:
        data: whether it was given a data set, for which DIR stands.
    """
    launcher = ["torchrun"]
    launcher += [f"--nnodes={nodes}"] if nodes > 1 else []
    launcher += [f"--nproc-per-node={ranks // nodes}"] if ranks > nodes else []
    given = ["--data", "DIR"] if data else []
    return shlex.join([*launcher, "launch/train.py", fields["recipe"], *given, *flags(fields)])


def flags(fields: Mapping[str, Any]) -> list[str]:
    """Returns the flags by which a run of these identity fields differs from its recipe of today.

    Raises:
        ValueError: there is no such recipe any more.
    """
    recipe = fields["recipe"]
    if recipe not in RECIPES:
        raise ValueError(
            f"there is no recipe {recipe!r} to publish a result of; there are {', '.join(RECIPES)}"
        )
    return [*_initial(fields, RECIPES[recipe].run), *_flags(fields, RECIPES[recipe].run)]


def _initial(fields: Mapping[str, Any], usual: Run) -> list[str]:
    """Returns the flag of the initial weights: the fields have their checksum alone, FILE stands for them."""
    if fields.get("init_sha256"):
        return ["--init-weights", "FILE"]
    return ["--init-weights", "None"] if usual.init_weights else []


def _flags(fields: Mapping[str, Any], default: Any) -> list[str]:
    found = []
    for field in dataclasses.fields(default):
        if field.name not in fields or field.name == "recipe":
            continue
        value, usual = fields[field.name], getattr(default, field.name)
        flag = f"--{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(usual):
            found += _flags(value, usual)
        elif value != usual:
            found += (
                [f"--no-{flag[2:]}" if value is False else flag]
                if isinstance(value, bool)
                else [flag, str(value)]
            )
    return found


def _final(run: RunFiles, folder: Path) -> dict[str, Any]:
    """Returns the evaluation that is the run's result, having held it against the predictions."""
    found = run.final_evaluation
    if run.state != "done" or found is None:
        raise ValueError(f"{folder} is not finished; the command that started it brings it to its end")
    if run.guesses is None:
        raise FileNotFoundError(f"{folder / 'predictions.npz'} is gone; a result is held against it")
    images = found["eval/images"]
    recorded, counted = found["eval/acc1"] * images / 100, hits(run.guesses)
    if len(run.guesses.labels) != images or abs(recorded - counted) > max(
        1, images // 2000
    ):  # ties may differ
        raise ValueError(
            f"{folder} is not as training left it: of its predictions {counted} of {len(run.guesses.labels)} "
            f"are right, by its metrics {recorded:.0f} of {images}"
        )
    return found


def _check_identity(run: RunFiles, folder: Path) -> None:
    facts, data = run.facts, run.facts["data"]
    key = fields_identity(facts["identity_fields"], train=data["train_identity"], val=data["val_identity"])
    if key != facts["identity"] or facts["identity_fields"] != _asked(
        facts["run"], like=facts["identity_fields"]
    ):
        raise ValueError(
            f"{folder / 'run.json'} was changed after the run: its settings and data are those of run {key}, "
            f"its name that of {facts['identity']}"
        )
    revision = facts.get("git")
    if revision is None or revision.endswith("+changes"):
        what = "without git" if revision is None else f"with files that differ from revision {revision[:12]}"
        raise ValueError(
            f"{folder} was trained {what}, so nobody could repeat it; commit, and train it again with --fresh"
        )


def _asked(run: Mapping[str, Any], *, like: Any) -> Any:
    """Returns of the resolved run what is also in `like`."""
    return {
        name: _asked(run[name], like=part) if isinstance(part, Mapping) else run[name]
        for name, part in like.items()
    }


def machine(facts: Mapping[str, Any]) -> str:
    """Returns the devices in words; of a CPU the processor and how many of its cores."""
    nodes, host = facts["plan"]["nodes"], facts.get("machine") or {}
    names = []
    for name, count in Counter(facts["devices"]).items():
        if name == "CPU":
            cores = host.get("cores")
            names.append(f"{host.get('cpu', 'CPU')}, {cores} {'core' if cores == 1 else 'cores'}")
        else:
            names.append(f"{count} x {name}")
    return " and ".join(names) + (f", {nodes} nodes" if nodes > 1 else "")
