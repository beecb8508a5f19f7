"""Hands a job's tasks to submitit: to Slurm, or to a process of its own on this machine. No torch."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from launch.checks.architecture import INSTALL
from launch.node_task import NodeTask
from launch.resources import Resources, variable_of

_ENDLESS = 10**6
"""Attempts, and minutes on this machine. What ends a job that gets nowhere is launch/requeue.py."""

_SET_HERE = ("output", "error", "open-mode", "signal", "job-name", "array")
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SUBMITIT_LOG_LEVEL")

# All of a node's share goes to its one task, and Slurm refuses the other ways of saying so beside that. The
# node with the fewest CPUs decides, as one step asks for the same of each: "40(x2),36" -> 36.
_SETUP = [
    "unset SLURM_CPUS_PER_GPU SLURM_CPUS_PER_TASK SLURM_NTASKS SLURM_NPROCS SLURM_GPUS_PER_TASK",
    r"""cpus=$(tr , '\n' <<<"$SLURM_JOB_CPUS_PER_NODE" | cut -d'(' -f1 | sort -n | sed -n 1p)""",
    "export SRUN_CPUS_PER_TASK=$cpus",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job that has been handed over: its id, and the file that its first task writes to."""

    id: str
    log: Path


def check_installed() -> None:
    """Raises a ValueError where submitit is not installed."""
    if importlib.util.find_spec("submitit") is None:
        raise ValueError(
            f"submitit is not installed; sbatch slurm/RECIPE.sh does without it, or type: {INSTALL}"
        )


def check_slurm(recipe: str) -> None:
    """Raises a ValueError where this machine has no Slurm."""
    missing = [name for name in ("sbatch", "srun", "scontrol") if shutil.which(name) is None]
    if missing:
        raise ValueError(
            f"there is no Slurm here (no {', '.join(missing)} on the PATH): submit from a login node, or "
            f"train on this machine: python launch/submit.py {recipe} --cluster local"
        )


@contextmanager
def private_folder(parent: Path, *, name: str) -> Iterator[Path]:
    """Makes a new folder that its owner alone can read, and removes it where the block does not end well."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-", dir=parent))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def submit_to_slurm(
    tasks: Sequence[NodeTask], resources: Resources, *, folder: Path, name: str, at_once: int | None
) -> list[Job]:
    """Submits one job, or an array of several.

    Args:
        folder: absolute, seen by all nodes; what is pickled and the logs go there.

    Raises:
        ValueError: Slurm refuses; the message holds its words.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=_ENDLESS)
    further = {k: v for k, v in resources.settings().items() if k not in ("nodes", "ntasks-per-node")}
    executor.update_parameters(
        job_name=name,
        nodes=resources.nodes,
        ntasks_per_node=1,
        time=resources.minutes,
        signal_delay_s=resources.notice,
        stderr_to_stdout=True,
        array_parallelism=at_once or len(tasks),
        wckey=None,
        setup=_SETUP,
        srun_args=["--kill-on-bad-exit=1"],
        additional_parameters=further,
    )
    with _environment_of_a_login(resources.options), _folder(tasks[0].checkout):
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what sbatch says, and raises it
                jobs = executor.submit_array(list(tasks))
        except FailedJobError as error:
            said = "; ".join(line.removeprefix("sbatch: error: ") for line in str(error).splitlines())
            raise ValueError(f"Slurm refuses the job: {said}") from None
    return [Job(id=job.job_id, log=job.paths.stdout) for job in jobs]


def start_here(task: NodeTask, *, folder: Path) -> Job:
    """Starts a task on this machine, in the background; it goes on when the terminal is closed."""
    import submitit

    executor = submitit.LocalExecutor(folder=folder, max_num_timeout=_ENDLESS)
    executor.update_parameters(timeout_min=_ENDLESS, stderr_to_stdout=True)
    with _environment_of_a_login({}), _folder(task.checkout), _detached():
        job = executor.submit(task)
    return Job(id=job.job_id, log=job.paths.stdout)


@contextmanager
def _environment_of_a_login(options: Mapping[str, object]) -> Iterator[None]:
    """Hides a surrounding job's variables, and those of sbatch that would overrule the batch file."""
    hidden = {variable_of(name) for name in (*options, *_SET_HERE)}
    hidden |= {name for name in os.environ if name.startswith(_OF_A_JOB) and name not in _KEPT}
    before = dict(os.environ)
    for name in hidden:
        os.environ.pop(name, None)
    os.environ.setdefault(
        "SUBMITIT_LOG_LEVEL", "CRITICAL"
    )  # each of its lines comes twice; ours say what happens
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _folder(path: str) -> Iterator[None]:
    """Inside, the working folder is the checkout: there `python -m` finds the task's module first."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _detached() -> Iterator[None]:
    """What is started inside neither holds this program's output open nor ends with the terminal."""
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kept = [os.dup(i) for i in range(3)]
    nothing = os.open(os.devnull, os.O_RDWR)
    for i in range(3):
        os.dup2(nothing, i)
    try:
        yield
    finally:
        for i, before in enumerate(kept):
            os.dup2(before, i)
        for number in (nothing, *kept):
            os.close(number)
        signal.signal(signal.SIGHUP, hangup)
