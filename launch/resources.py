"""What a job asks Slurm for: the #SBATCH lines of its recipe's script, and what users put in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.job_request import JobRequest

_FALLBACK = "rexnet_1.0"  # of the recipes that have no script of their own
_OURS = ("job-name", "output", "open-mode", "signal")
_VARIABLES = {"time": "SBATCH_TIMELIMIT", "array": "SBATCH_ARRAY_INX"}


@dataclass(frozen=True, slots=True)
class Resources:
    """Options of sbatch by name, without dashes; an option without a value is True."""

    options: Mapping[str, str | bool]

    @property
    def nodes(self) -> int:
        """Machines.

        Raises:
            ValueError: this is no number; Slurm also takes ranges, of which the batch would not fit one.
        """
        return _number(str(self.options["nodes"]), of="nodes")

    @property
    def gpus_per_node(self) -> int:
        """GPUs of each machine.

        Raises:
            ValueError: this is no number.
        """
        return _number(str(self.options["gpus-per-node"]).rpartition(":")[2], of="gpus-per-node")

    @property
    def minutes(self) -> int:
        """The time limit."""
        return minutes_of(str(self.options["time"]))

    @property
    def notice(self) -> int:
        """Seconds before the time limit at which Slurm signals."""
        return int(str(self.options["signal"]).partition("@")[2])

    def settings(self) -> dict[str, str | bool]:
        """Returns the options but for those that whoever submits decides."""
        return {name: value for name, value in self.options.items() if name not in _OURS}


def find_resources(
    request: JobRequest, recipes: Sequence[str], *, scripts: Path, environment: Mapping[str, str]
) -> Resources:
    """Returns what the request names, else what sbatch's own variables say, else what the script does.

    Args:
        recipes: of one job, or of the jobs of one array, which all get the same, and the longest time.
        scripts: the folder slurm/.

    Raises:
        ValueError: the recipes' scripts differ in what nobody has named, or a number or a time is none.
    """
    named = request.options()
    names = {*read_script(scripts, recipes[0]), "partition", "account", "qos", "constraint", *named} - {
        *_OURS
    }
    given = {name: environment[variable_of(name)] for name in names if environment.get(variable_of(name))}
    found: dict[str, dict[str, str | bool]] = {
        recipe: {**read_script(scripts, recipe), **given, **named} for recipe in recipes
    }
    longest = max((str(options["time"]) for options in found.values()), key=minutes_of)
    found = {recipe: {**options, "time": longest} for recipe, options in found.items()}
    first = found[recipes[0]]
    for recipe, options in found.items():
        differing = [n for n in options if options[n] != first.get(n) and n not in _OURS]
        if differing:
            flags = " ".join(f"--{name} {first[name]}" for name in differing)
            raise ValueError(
                f"{recipes[0]} and {recipe} have other resources ({', '.join(differing)}), but the jobs of "
                f"an array have the same: name them, as in {flags}, or submit these two by themselves"
            )
    resources = Resources(first)
    _ = resources.nodes, resources.gpus_per_node, resources.minutes
    return resources


def read_script(scripts: Path, recipe: str) -> dict[str, str | bool]:
    """Returns the #SBATCH lines of a recipe's script, or those of rexnet_1.0's where it has none.

    rexnet_2.0-400 and -plain have that of rexnet_2.0.
    """
    script = scripts / f"{recipe.partition('-')[0]}.sh"
    if not script.is_file():
        script = scripts / f"{_FALLBACK}.sh"
    lines = re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", script.read_text(), flags=re.MULTILINE)
    return {name: value or True for name, value in lines}


def variable_of(option: str) -> str:
    """Returns the environment variable by which sbatch takes an option."""
    return _VARIABLES.get(option, f"SBATCH_{option.upper().replace('-', '_')}")


def minutes_of(time: str) -> int:
    """Returns a time limit of Slurm's in minutes: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S.

    Raises:
        ValueError: it is none of these.
    """
    days, dash, rest = time.rpartition("-")
    parts = rest.split(":")
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", time):
        raise ValueError(f"time is {time}, but wanted is M, M:S, H:M:S or D-H, as in --time 24:00:00")
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, _ = (*numbers, 0, 0)[:3]
        return (int(days) * 24 + hours) * 60 + minutes
    if len(numbers) == 3:
        return numbers[0] * 60 + numbers[1] + (numbers[2] > 0)
    return numbers[0] + (len(numbers) == 2 and numbers[1] > 0)


def _number(text: str, *, of: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise ValueError(f"{of} is {text}, but must be a number, as the batch is laid over it: --{of} 2")
    return int(text)
