"""From a run to an open session: data found and checked, batch laid out, process group joined."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from launch.attempt import Attempt
from launch.checks import architecture, gpus
from launch.config import Run, identity
from launch.data import Data, outputs
from launch.decoding import try_decoding
from launch.engine.bad_images import most_bad
from launch.engine.determinism import make_deterministic
from launch.engine.distributed import Place, find_device, find_place, join
from launch.engine.optimizer import check_backend
from launch.engine.step import emulated
from launch.folder import RunFolder, run_folder
from launch.initial import read_initial, with_checksum
from launch.plan import make_plan
from launch.session import Session
from launch.track.terminal import Terminal
from launch.unison import require_unison
from pipeline import graph
from pipeline.holding import hold_out
from pipeline.imagenet import is_imagenet_1k
from pipeline.index import Index, open_splits
from pipeline.missing import what_is_missing
from pipeline.synthetic import demo_folder
from pipeline.walk import enumeration

Say = Callable[[str], None]

_DEMO = (
    "This is the demo: ReXNet-1.0 learns drawn shapes. To train on ImageNet: "
    "torchrun --nproc-per-node=gpu launch/train.py rexnet_1.0 --data /path/to/imagenet"
)


def open_terminal(place: Place) -> tuple[Terminal | None, Say]:
    """Returns rank 0's terminal and the way to say a line; other ranks say nothing."""
    if not place.first:
        return None, lambda line: None
    terminal = Terminal()
    return terminal, terminal.say


def open_data(run: Run, *, machines: int = 1, say: Say) -> Data:
    """Opens the run's data set, the embedded one for the demo.

    Raises:
        ValueError, FileNotFoundError: there is none, or it is not laid out as it must be.
    """
    if run.data is None and run.recipe != "demo":
        raise ValueError(
            f"recipe {run.recipe} needs a data set: --data DIR, a folder that holds train/ and val/ with one "
            "folder of images per class"
        )
    if run.data is None:
        say(_DEMO)
    folder = demo_folder(say=say) if run.data is None else run.data.expanduser()
    if run.data is not None and (copy := os.environ.get("REXNET_STAGED")):
        folder = Path(copy)  # the same images on this machine's own disk, by launch/stage.py
    train, val = open_splits(folder, machines=machines, say=say)
    for line in what_is_missing(train, val):
        say(f"Note: {line}")
    imagenet = is_imagenet_1k(train, val)
    if not run.hold_out:
        return Data(train=train, val=val, is_imagenet=imagenet)
    trained, held = hold_out(train, share=run.hold_out)
    say(f"{len(held)} of {len(train)} training images are held out, to choose by")
    return Data(train=trained, val=val, held=held, is_imagenet=imagenet)


def check_readable(train: Index, *, share: float) -> None:
    """Raises a ValueError where more images have no readable header than may prove bad, as they all will."""
    bad, most = train.unreadable, most_bad(share, images=len(train))
    if len(bad) > most:
        named = enumeration([os.fsdecode(train.name(i)) for i in bad.tolist()])
        raise ValueError(
            f"{len(bad)} of {len(train)} files in {train.root} are no readable JPEG or PNG, more than the "
            f"{most} that --max-bad {share:g} allows: {named}. Put intact copies in their place and make the "
            f"index anew (python launch/index.py {shlex.quote(str(train.root))} --rescan), or allow more: "
            f"--max-bad {float(f'{2 * len(bad) / len(train):.1g}'):g}"
        )


def open_session(
    run: Run,
    attempt: Attempt,
    *,
    say: Say,
    suffix: str = "",
    fresh: bool = False,
    claim: Callable[[RunFolder, Run, str, bool], None] = lambda *_: None,
) -> tuple[Session, RunFolder]:
    """Opens data and run folder and joins the process group; all that a user can mend is found before that.

    Args:
        suffix: ends the folder's name, for what is not the run itself.
        fresh: whatever the folder holds is not to be taken up, unless this job itself has begun it.
        claim: called on rank 0 with the folder, the run, its identity and what `fresh` comes to, before
            anybody is waited for.

    Raises:
        ValueError, FileNotFoundError: of the data, or the batch does not fit the world.
    """
    place = find_place()
    if run.numerics.deterministic:
        make_deterministic()
    make_plan(run, nodes=place.nodes, ranks=place.world_size)
    architecture.require(gpus.gather())
    device = find_device(place)
    check_backend(run.optim, device)
    graph.place(device, decode=run.feeding.decode)
    data = open_data(run, machines=place.nodes, say=say)
    check_readable(data.train, share=run.feeding.max_bad)
    classes = outputs(run.num_classes, folders=data.train.classes, split=data.train.root)
    run = with_checksum(run, say=say)
    key = identity(run, train=data.train.identity, val=data.val.identity)
    path = run_folder(run, identity=key)
    folder = RunFolder(path.with_name(path.name + suffix))
    attempt.folder = folder.path
    fresh = fresh and not folder.begun_by_earlier_attempt()
    facts = None if fresh else folder.facts()
    if facts is not None and facts["identity"] != key:
        facts = None
    resolved = run if facts is None else as_before(run, facts, device=device.type)
    plan = make_plan(resolved, nodes=place.nodes, ranks=place.world_size)
    anew = fresh or bool(suffix) or not folder.is_begun()
    initial = read_initial(run, classes=classes, say=say) if anew else None
    if place.first:
        claim(folder, run, key, fresh)
    tried = try_decoding(resolved.feeding, place)
    timeout = timedelta(minutes=run.keeping.timeout)
    world = join(place, timeout=timeout, recorder=folder.path / "nccl")
    begun = facts is not None
    require_unison(run, data, resolved=resolved, begun=begun, folder=folder.path, world=world)
    if world.recorder:
        say(f"NCCL's last collectives, should they time out: {world.recorder}*")
    say(str(plan))
    session = Session(
        resolved,
        asked=run,
        plan=plan,
        data=data,
        world=world,
        identity=key,
        classes=classes,
        initial=initial,
    )
    if initial is not None:
        say(initial.words)
    say(f"{world.device_name} x {place.world_size}, {session.precision}, {len(data.train)} training images")
    session.settle_decoding(tried, earlier=None if facts is None else facts["found"], say=say)
    session.settle_layout(say)
    session.settle_compile(say)
    if hint := emulated(session.precision, device):
        say(hint)
    if hint := idle_gpus(place.local_world_size, visible=torch.cuda.device_count()):
        say(hint)
    return session, folder


def as_before(run: Run, facts: Mapping[str, Any], *, device: str) -> Run:
    """Returns the run with what its first start found out, told by run.json.

    Where images are decoded is decided anew on another kind of `device`.
    """
    numerics = run.numerics
    if numerics.layout == "auto":
        numerics = replace(numerics, layout=facts["found"]["layout"])
    if numerics.precision == "auto":
        numerics = replace(numerics, precision=facts["found"]["precision"])
    feeding, found = run.feeding, facts["found"]
    if found.get("compile") is False and facts["run"]["numerics"]["compile"]:
        numerics = replace(numerics, compile=False)
    if found["device"] == device and "window" in found:
        measured = facts["run"]["feeding"]["decode"] == "measure"
        if feeding.decode == "auto" or (feeding.decode == "measure" and measured):
            feeding = replace(feeding, decode=found["decode"])
        if feeding.window == "auto" and feeding.decode == found["decode"]:
            feeding = replace(feeding, window=found["window"])
    return replace(run, micro_batch=facts["plan"]["micro_batch"], numerics=numerics, feeding=feeding)


def idle_gpus(processes: int, *, visible: int) -> str | None:
    """Returns what to say where a machine shows more GPUs than it has processes."""
    if processes >= visible:
        return None
    return f"{visible} GPUs are visible, but {processes} used; torchrun --nproc-per-node=gpu uses all of them"
