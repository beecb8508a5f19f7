"""What an evaluation tells of each class."""

from pathlib import Path

import numpy as np

from launch.class_table import HEADER, class_rows, write_class_table
from launch.engine.predictions import Predictions

CLASSES = ("ant, red", "bee", "cat", "dog")


def predictions() -> Predictions:
    """Of four classes, with a network of five outputs; the image with id 5 is bad."""
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    ranks = np.array([0, 1, 3, 0, 0, 5, 2])
    first = np.array([0, 1, 1, 1, 1, -1, 4])
    top5 = np.full((7, 5), -1)
    top5[:, 0] = first
    ids = np.arange(7)
    return Predictions(ids=ids, labels=labels, ranks=ranks, top5=top5, probabilities=np.zeros((7, 5)))


def test_rows_of_hits_and_of_what_a_class_is_taken_for(tmp_path: Path) -> None:
    rows = class_rows(predictions(), classes=CLASSES)
    assert rows == [
        ("ant, red", 3, 1, 100 / 3, 100.0, "bee", 2),
        ("bee", 3, 2, 200 / 3, 200 / 3, "", ""),
        ("cat", 1, 0, 0.0, 100.0, "output 4", 1),
        ("dog", 0, 0, "", "", "", ""),
    ]
    write_class_table(tmp_path / "classes.csv", predictions(), classes=CLASSES)
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert lines[:2] == [",".join(HEADER), '"ant, red",3,1,33.333,100.000,bee,2']
    assert [path.name for path in tmp_path.iterdir()] == ["classes.csv"]
