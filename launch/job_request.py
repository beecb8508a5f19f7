"""What a submission is asked for, and the trainings that it starts. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from launch.arguments import UsageError, read_arguments, value_of
from launch.cli import Command, read_command

_PROGRAM = "launch/submit.py"
_SET_HERE = ("array", "output", "error", "signal", "open-mode", "job-name", "ntasks-per-node")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """Submit a training to Slurm, or start it on this machine; what stands behind -- is for launch/train.py.

    Resources that are not named here are those of slurm/RECIPE.sh, or of your SBATCH_... variables."""

    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")] = ""
    """The recipe; launch/train.py --list names them."""

    array: str = ""
    """In place of RECIPE, the widths or recipes to train at once, as jobs of one array: 1.0,1.3,1.5."""

    seeds: str = ""
    """The seeds to train at once, each its own run: 0,1,2. With --array, each of them with each seed."""

    at_once: int | None = None
    """How many of these jobs may run at the same time. Default: as many as the cluster lets."""

    cluster: Literal["slurm", "local"] = "slurm"
    """local: on this machine, without Slurm; several runs then follow each other."""

    dry_run: bool = False
    """Check everything, print what would be submitted, and end."""

    nodes: int | None = None
    """Machines of a job."""

    gpus_per_node: str | None = None
    """GPUs of each, a kind before them where the site has several: 8 or v100:8."""

    processes: int | None = None
    """Processes per node. Default: its GPUs; on this machine without any, 1."""

    cpus_per_gpu: int | None = None
    """CPU cores for each GPU."""

    mem_per_gpu: str | None = None
    """Memory for each GPU: 24G."""

    time: str | None = None
    """Limit of one attempt: 24:00:00. A longer run goes on in the next."""

    notice: int | None = None
    """Seconds before that limit at which the run is asked to save and stop; it may be a minute more."""

    partition: str | None = None
    """The partition, as the site names it."""

    account: str | None = None
    """Who pays."""

    qos: str | None = None
    """The quality of service."""

    constraint: str | None = None
    """Features that the nodes must have."""

    exclude: str | None = None
    """Nodes not to use."""

    sbatch: tuple[str, ...] = ()
    """Further options of sbatch, without their dashes: --sbatch mail-type=END nice=100."""

    def __post_init__(self) -> None:
        for name in ("nodes", "processes", "at_once", "cpus_per_gpu", "notice"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name.replace('_', '-')} is {value}, but must be at least 1")
        if self.cluster == "local" and (self.nodes or 1) > 1:
            raise ValueError(f"--cluster local is this machine alone, but --nodes is {self.nodes}")
        if self.recipe and self.array:
            raise ValueError(f"name {self.recipe} or --array {self.array}, not both")
        for option in self.sbatch:
            if option.startswith("-") or option.partition("=")[0] in _SET_HERE:
                raise ValueError(
                    f"--sbatch {option}: wanted an option of sbatch without its dashes, as in mail-type=END, "
                    f"and none of {', '.join(_SET_HERE)}, which are set here (see --notice)"
                )

    @property
    def recipes(self) -> list[str]:
        """The recipes to train."""
        if not self.array:
            return [self.recipe]
        words = _words(self.array, flag="--array", example="1.0,1.3,1.5")
        return [f"rexnet_{word}" if word[0].isdigit() else word for word in words]

    def options(self) -> dict[str, str | bool]:
        """Returns the options of sbatch that were named."""
        named = (
            *("nodes", "gpus_per_node", "cpus_per_gpu", "mem_per_gpu", "time"),
            *("partition", "account", "qos", "constraint", "exclude"),
        )
        values = {name.replace("_", "-"): getattr(self, name) for name in named}
        options: dict[str, str | bool] = {k: str(v) for k, v in values.items() if v is not None}
        if self.notice is not None:
            options["signal"] = f"@{self.notice}"
        for option in self.sbatch:
            name, equals, value = option.partition("=")
            options[name] = value if equals else True
        return options


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """One run of launch/train.py: its arguments, and what they mean."""

    recipe: str
    arguments: tuple[str, ...]
    command: Command


def read_job_request(argv: Sequence[str]) -> tuple[JobRequest, list[Training]] | None:
    """Returns what `argv` asks for and the trainings in it; None after `--help`, which only prints.

    A training without --data takes $DATA, as the batch scripts do.

    Raises:
        UsageError: an argument of either program is misspelt or has no meaning.
    """
    words = list(argv)
    at = words.index("--") if "--" in words else len(words)
    try:
        request = read_arguments(JobRequest, words[:at], program=_PROGRAM)
    except UsageError as error:
        hint = f". Flags of launch/train.py stand behind --: {_PROGRAM} RECIPE -- --epochs 90"
        raise UsageError(f"{error}{hint if 'Unrecognized' in str(error) else ''}") from None
    if request is None:
        return None
    if not request.recipe and not request.array:
        raise UsageError(f"which recipe? python {_PROGRAM} rexnet_1.0, or --array 1.0,1.3,1.5")
    trainings = find_trainings(request, words[at + 1 :])
    return None if trainings is None else (request, trainings)


def find_trainings(request: JobRequest, flags: Sequence[str]) -> list[Training] | None:
    """Returns each recipe with each seed; None where the flags of launch/train.py ask for its help.

    Raises:
        UsageError: they cannot be understood, or have no meaning in a job.
    """
    seeds = _words(request.seeds, flag="--seeds", example="0,1,2") if request.seeds else []
    if seeds and value_of("--seed", flags) is not None:
        raise UsageError("name --seeds, or --seed behind --, not both")
    data = None if value_of("--data", flags) else os.environ.get("DATA")
    common = [*flags, *(["--data", data] if data else [])]
    trainings = []
    for recipe in request.recipes:
        for seed in seeds or [None]:
            arguments = [recipe, *common, *(["--seed", seed] if seed is not None else [])]
            command = read_command(arguments)
            if command is None:
                return None
            trainings.append(Training(recipe=recipe, arguments=tuple(arguments), command=command))
    out = trainings[0].command.run.out
    if trainings[0].command.dry_run:
        raise UsageError(
            f"train.py's --dry-run needs no job: python launch/train.py {trainings[0].recipe} --dry-run; "
            f"python {_PROGRAM} {trainings[0].recipe} --dry-run tells what would be submitted"
        )
    if out is not None and len(trainings) > 1:
        raise UsageError(f"--out {out} is one folder, but there are {len(trainings)} runs; leave it out")
    return trainings


def _words(text: str, *, flag: str, example: str) -> list[str]:
    words = text.split(",")
    if not all(words) or any(word != word.strip() for word in words) or len(set(words)) < len(words):
        raise UsageError(f"{flag} {text}: wanted different values with commas between them: {flag} {example}")
    return words
