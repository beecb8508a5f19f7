"""The classes of ImageNet's validation images, from either of the files that are published."""

import csv
import io
import re
import tarfile
from pathlib import Path

from pipeline.matlab import read_mat

_META = "data/meta.mat"
_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
_WNID = re.compile(r"n\d{8}")


def read_truth(file: Path) -> dict[int, str]:
    """WordNet id by number of the validation image, from 1.

    `file` is ILSVRC2012_devkit_t12.tar.gz (readme.txt in it has the format) or Kaggle's LOC_val_solution.csv
    (https://www.kaggle.com/c/imagenet-object-localization-challenge/data).

    Raises FileNotFoundError or ValueError for anything else.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; --labels wants {_wanted()}")
    try:
        return _csv(file) if file.suffix.lower() == ".csv" else _devkit(file)
    except (ValueError, KeyError, tarfile.TarError, EOFError, UnicodeDecodeError) as fault:
        raise ValueError(f"{file} does not tell the classes ({fault}); --labels wants {_wanted()}") from None


def _csv(file: Path) -> dict[int, str]:
    truth = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            number = re.fullmatch(r"ILSVRC2012_val_(\d{8})", row["ImageId"])
            wnid = _WNID.match(row["PredictionString"])
            if number is None or wnid is None:
                raise ValueError(f"a row {row['ImageId']},{row['PredictionString']}")
            truth[int(number[1])] = wnid[0]
    return truth


def _devkit(file: Path) -> dict[int, str]:
    found: dict[str, bytes] = {}
    with tarfile.open(file) as archive:
        for member in archive:
            for wanted in (_META, _TRUTH):
                if member.isreg() and f"/{member.name}".endswith(f"/{wanted}"):
                    content = archive.extractfile(member)
                    assert content is not None
                    found[wanted] = content.read()
    wnids = _wnids(found[_META])
    numbers = [int(line) for line in io.BytesIO(found[_TRUTH]).read().split()]
    return {image: wnids[number] for image, number in enumerate(numbers, 1)}


def _wnids(meta: bytes) -> dict[int, str]:
    """WordNet id by ILSVRC2012_ID, of the classes as of the groups of classes."""
    synsets = read_mat(meta).get("synsets")
    if not isinstance(synsets, list):
        raise ValueError(f"{_META} holds no synsets")
    wnids = {}
    for synset in synsets:
        number, wnid = synset.get("ILSVRC2012_ID"), synset.get("WNID")
        if not isinstance(number, float) or not isinstance(wnid, str) or _WNID.fullmatch(wnid) is None:
            raise ValueError(f"{_META} holds a synset without ILSVRC2012_ID and WNID")
        wnids[int(number)] = wnid
    return wnids


def _wanted() -> str:
    return "ILSVRC2012_devkit_t12.tar.gz or LOC_val_solution.csv"
