"""What can be found out about a training before it holds a GPU. Needs torch for initial weights alone."""

from __future__ import annotations

from pathlib import Path

from launch.config import Run, identity
from launch.data import outputs
from launch.folder import RunFolder, run_folder
from launch.initial import read_initial, with_checksum
from launch.job_request import Training
from launch.plan import Plan, make_plan
from pipeline.index import find_index, open_splits
from pipeline.layout import check_layout, check_short_scan, class_names
from pipeline.walk import first_level


def check_training(training: Training, *, nodes: int, processes: int) -> tuple[Plan, str]:
    """Returns how the batch is laid over the job, and the run's folder as far as it is known.

    Raises:
        ValueError, FileNotFoundError: the run could not start; the message says what to type.
    """
    run = training.command.run
    try:
        plan = make_plan(run, nodes=nodes, ranks=nodes * processes)
    except ValueError as error:
        world = f"{nodes} node{'s' * (nodes > 1)} x {processes} process{'es' * (processes > 1)}"
        raise ValueError(f"{training.recipe} on {world} each: {error}") from None
    if run.data is None and run.recipe != "demo":
        raise ValueError(
            f"{training.recipe} needs a data set: behind --, --data DIR, or once for all export DATA=DIR; "
            "DIR holds train/ and val/ with one folder of images per class"
        )
    key, suffix = None, "-smoke" if training.command.smoke else ""
    if run.data is not None:
        data = run.data.expanduser()
        check_layout(data)
        run = with_checksum(run, say=print)
        key = find_identity(run, data, machines=nodes)
    folder = run_folder(run, identity=key or "...")
    if run.data is not None and (training.command.fresh or suffix or not RunFolder(folder).is_begun()):
        train = run.data.expanduser() / "train"
        classes = outputs(run.num_classes, folders=class_names(train), split=train)
        read_initial(run, classes=classes, say=print)
    return plan, f"{folder}{suffix}"


def find_identity(run: Run, data: Path, *, machines: int) -> str | None:
    """Returns the run's identity if the data set has an index already.

    Raises:
        ValueError: several machines would have to wait until one has read all of it.
    """
    missing = [split for split in (data / "train", data / "val") if _find(split) is None]
    for split in missing:
        if machines > 1:
            check_short_scan(split, first_level(split)[0])
    if missing:
        return None
    train, val = open_splits(data, say=lambda line: None)
    return identity(run, train=train.identity, val=val.identity)


def _find(split: Path) -> object:
    return find_index(split, say=lambda line: None)
