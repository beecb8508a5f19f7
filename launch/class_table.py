"""What an evaluation tells of each class, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from launch.engine.predictions import TOP, Predictions

HEADER = ("class", "images", "hits@1", "Acc@1", "Acc@5", "most confused with", "times")
"""Accuracies are in percent; the last two tell what most of a class's images were taken for, how often."""


def class_rows(predictions: Predictions, *, classes: Sequence[str]) -> list[tuple[str | int | float, ...]]:
    """Returns a row of `HEADER` for each class, by its label; a class without images has counts alone.

    Hits are those of the evaluation: their sums over the classes are its own. Bad images are misses, taken
    for nothing.
    """
    labels, ranks, first = predictions.labels, predictions.ranks, predictions.top5[:, 0]
    count = len(classes)
    images, hits1, hits5 = (
        np.bincount(labels[chosen], minlength=count) for chosen in (slice(None), ranks < 1, ranks < TOP)
    )
    rows: list[tuple[str | int | float, ...]] = []
    for label, name in enumerate(classes):
        seen, hits = int(images[label]), int(hits1[label])
        if not seen:
            rows.append((name, 0, 0, "", "", "", ""))
            continue
        taken = first[(labels == label) & (ranks >= 1) & (first >= 0) & (first != label)]
        times = np.bincount(taken) if len(taken) else np.zeros(1, np.int64)
        most = int(times.argmax())
        confused = (_name(classes, most), int(times[most])) if len(taken) else ("", "")
        rows.append((name, seen, hits, 100 * hits / seen, 100 * int(hits5[label]) / seen, *confused))
    return rows


def write_class_table(path: Path, predictions: Predictions, *, classes: Sequence[str]) -> None:
    """Writes the rows as CSV, atomically."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for row in class_rows(predictions, classes=classes):
            writer.writerow([f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row])
    fresh.replace(path)


def _name(classes: Sequence[str], label: int) -> str:
    """Outputs may be more than the data's classes."""
    return classes[label] if label < len(classes) else f"output {label}"
