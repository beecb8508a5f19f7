"""The submission program: check, submit, say where things are."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.job_request import JobRequest, Training
from launch.node_task import NodeTask
from launch.precheck import check_training
from launch.resources import Resources, find_resources
from launch.submission import (
    Job,
    check_installed,
    check_slurm,
    private_folder,
    start_here,
    submit_to_slurm,
)

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A training that can start, and its run's folder as far as it is known."""

    training: Training
    folder: str


def submit(request: JobRequest, trainings: Sequence[Training]) -> None:
    """Submits the trainings, or starts them here, and prints job ids, folders, how to follow and to cancel.

    Raises:
        ValueError, FileNotFoundError: something the user can mend; then nothing has been submitted.
    """
    check_installed()
    local = request.cluster == "local"
    resources = find_resources(
        request, request.recipes, scripts=CHECKOUT / "slurm", environment={} if local else os.environ
    )
    nodes = 1 if local else resources.nodes
    processes = count_processes(request, resources, environment=os.environ)
    checked = []
    for training in trainings:
        plan, folder = check_training(training, nodes=nodes, processes=processes)
        print(f"{' '.join(training.arguments[:1])}: {plan}")
        checked.append(Checked(training=training, folder=folder))
    if not local and not request.dry_run:
        check_slurm(trainings[0].recipe)
    if request.dry_run:
        print("this would be submitted" if not local else "this would be started here", end="; ")
        print("nothing has been")
        for one in checked:
            print(f"  launch/train.py {shlex.join(one.training.arguments)}")
        if not local:
            print("  sbatch " + " ".join(_flags(resources.settings())))
        return
    task = NodeTask(
        checkout=str(CHECKOUT),
        python=find_python(os.environ),
        folder=str(Path.cwd()),
        trainings=tuple(one.training.arguments for one in checked),
        processes=processes,
        devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    # By the run's own name: FILE.py:NAME is a path, and would name another folder.
    name = trainings[0].command.run.recipe if len(request.recipes) == 1 else "rexnet"
    with private_folder(submit_root(trainings[0]), name=name) as folder:
        if local:
            _tell_local(start_here(task, folder=folder), checked)
            return
        jobs = submit_to_slurm(task.one_each(), resources, folder=folder, name=name, at_once=request.at_once)
    _tell_slurm(jobs, checked)


def submit_root(training: Training) -> Path:
    """Returns where submissions are kept: .submitit beside the run's folder."""
    out = training.command.run.out
    return Path(os.path.abspath(out)).parent / ".submitit" if out else Path.cwd() / "runs" / ".submitit"  # noqa: PTH100


def count_processes(request: JobRequest, resources: Resources, *, environment: Mapping[str, str]) -> int:
    """Returns the processes of a node: what was asked for, else its GPUs, else 1.

    Raises:
        ValueError: $PROCESSES is no number.
    """
    if request.processes is not None:
        return request.processes
    told = environment.get("PROCESSES", "")
    if told and not told.isdigit():
        raise ValueError(f"PROCESSES={told} in the environment is no number; unset it, or --processes 8")
    if told:
        return int(told)
    if request.cluster == "slurm" or request.gpus_per_node is not None:
        return resources.gpus_per_node
    if "CUDA_VISIBLE_DEVICES" in environment:
        return len([word for word in environment["CUDA_VISIBLE_DEVICES"].split(",") if word]) or 1
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) or 1


def find_python(environment: Mapping[str, str]) -> str:
    """Returns the Python that trains: $ENV's or that of the image $CONTAINER, as for a script, or this.

    Raises:
        ValueError: there is none.
    """
    folder, image = environment.get("ENV", ""), environment.get("CONTAINER")
    if not folder or Path(folder).is_file():  # Environment Modules names a file of its own so
        return "python" if image else sys.executable
    python = Path(folder) / "bin" / "python"
    if not image and not os.access(python, os.X_OK):
        raise ValueError(
            f"ENV={folder} has no bin/python; give the folder of a virtual environment, or unset it"
        )
    return str(python)


def _flags(settings: Mapping[str, str | bool]) -> list[str]:
    return [f"--{k}" if v is True else f"--{k}={shlex.quote(str(v))}" for k, v in settings.items()]


def _tell_slurm(jobs: Sequence[Job], checked: Sequence[Checked]) -> None:
    for job, one in zip(jobs, checked, strict=True):
        print(f"job {job.id}: {shlex.join(one.training.arguments)}")
        print(f"  run folder  {_known(one.folder)}")
        print(f"  log         {job.log}")
        print(f"  follow      tail -F {shlex.quote(str(job.log))}")
    number = jobs[0].id.partition("_")[0]
    one = f"   (one of them: scancel {jobs[0].id})" if len(jobs) > 1 else ""
    print(f"state   squeue --job {number}\ncancel  scancel {number}{one}")


def _tell_local(job: Job, checked: Sequence[Checked]) -> None:
    print(f"started here as process {job.id}:")
    for one in checked:
        print(f"  {shlex.join(one.training.arguments)}\n  run folder  {_known(one.folder)}")
    print(f"  log         {job.log}\nfollow  tail -F {shlex.quote(str(job.log))}")
    print(f"cancel  kill {job.id}    (it saves first; the same command goes on)")


def _known(folder: str) -> str:
    return f"{folder}   (the log names it when the data has been indexed)" if "..." in folder else folder
