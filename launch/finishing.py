"""The end of a run: the final weights evaluated, and what the run leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from launch.data import output_names
from launch.engine.faults import Fault
from launch.engine.loop import Loop
from launch.engine.metrics import Score
from launch.engine.ports import Tracker
from launch.engine.predictions import Predictions
from launch.folder import RunFolder
from launch.hold import Hold
from launch.scoring import score
from launch.session import Session
from rexnet.weights import save_weights


def finish(session: Session, loop: Loop, folder: RunFolder, tracker: Tracker, *, hold: Hold) -> str:
    """Scores the final weights and writes the results; returns them as one line.

    Raises:
        Interrupted: a rank was asked to stop; nothing is written then.
        Fault: the results cannot be written.
    """
    state, stop, averaged = loop.state, loop.stop, session.run.ema.half_life > 0
    held, size = session.data.held, session.run.test_size
    beside: list[tuple[Score, str, str]] = []
    if held is not None:
        if averaged:
            beside.append((score(session, state.model, stop=stop, index=held)[0], "model", "held-out"))
        beside.append((score(session, state.average.model, stop=stop, index=held)[0], "ema", "held-out"))
    if size is not None:
        beside.append(
            (score(session, state.average.model, stop=stop, image_size=size)[0], "ema", f"eval-{size}")
        )
    if averaged:
        beside.append((score(session, state.model, stop=stop)[0], "model", "eval"))
    final, predictions = score(session, state.average.model, stop=stop, keep=True)
    for found, weights, group in (*beside, (final, "ema", "eval")):
        loop.write_score(found, weights=weights, group=group, final=1)
    line = result_line(session, final, averaged=averaged)
    if session.world.place.first:
        assert predictions is not None
        hold.check()
        try:
            _write_results(session, predictions, state.average.model, folder=folder.path)
        except OSError as error:
            raise Fault(
                f"the results cannot be written to {folder.path}: {error}. Mend that, and the same command "
                "goes on: it evaluates the final weights again and writes them"
            ) from error
        tracker.write(loop.event("end", result=line))
    return line


def result_line(session: Session, final: Score, *, averaged: bool = True) -> str:
    """Returns the headline: the final accuracies, beside the official ones where there are any."""
    weights = "final EMA weights" if averaged else "final weights"
    line = f"Acc@1 {final.acc1:.2f} %  Acc@5 {final.acc5:.2f} %  over {final.images} images, {weights}"
    references = session.data.references(session.run.variant)
    if not references:
        return line
    acc1, acc5 = references["official/acc1"], references["official/acc5"]
    return f"{line};  official {acc1:.2f} / {acc5:.2f} %, gap {final.acc1 - acc1:+.2f}"


def _write_results(session: Session, predictions: Predictions, model: nn.Module, *, folder: Path) -> None:
    names, run = output_names(session.data.val.classes, outputs=session.classes), session.run
    _write_predictions(predictions, folder / "predictions.npz", classes=names)
    save_weights(
        model,
        folder / "model.safetensors",
        variant=run.variant,
        class_names=names,
        image_size=run.eval_size or run.augmentation.image_size,
        crop_ratio=run.evaluation.crop_ratio,
        interpolation=run.evaluation.interpolation,
    )


def _write_predictions(predictions: Predictions, path: Path, *, classes: Sequence[str]) -> None:
    fresh = path.with_name(path.name + ".tmp.npz")
    np.savez_compressed(
        fresh,
        ids=predictions.ids,
        labels=predictions.labels,
        top5=predictions.top5,
        probabilities=predictions.probabilities,
        classes=np.array(classes),  # names: label i is classes[i]
    )
    fresh.replace(path)
