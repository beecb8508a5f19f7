"""The README's row of a stock trainer: timm's train.py on CIFAR-10, for about `cifar10`'s time on a core.

python -m tests.evidence.stock TIMM_CHECKOUT --python PYTHON --data DIR --epochs 3 --seeds 0 1 2 --git COMMIT

Its own defaults, but for the image size, `cifar10`'s batch and learning rate, and no warmup, which by
default is longer than these runs; --epochs is a whole number there. Every seed leaves
results/stock-IDENTITY.json.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import shlex
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from launch.cifar10_recipes import CIFAR10
from launch.facts import processor
from launch.folder import write_json
from launch.publishing import RESULTS
from pipeline.shard import checksum

_VERSIONS = """
import json, platform, timm, torch, torchvision
print(json.dumps({"python": platform.python_version(), "torch": torch.__version__,
                  "torchvision": torchvision.__version__, "timm": timm.__version__}))
"""


def main() -> None:
    """Trains and writes a row for each seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.stock", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a folder with timm's train.py")
    parser.add_argument("--python", type=Path, required=True, help="a Python that can import timm")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as class folders, train/ and val/")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--git", required=True, help="the checkout's commit, 40 digits")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    told = subprocess.run([asked.python, "-c", _VERSIONS], capture_output=True, text=True, check=True).stdout
    for seed in asked.seeds:
        row = train(asked, flags=flags(epochs=asked.epochs, seed=seed), seed=seed, versions=json.loads(told))
        write_json(RESULTS / f"stock-{row['identity']}.json", row)
        print(f"seed {seed}: Acc@1 {row['acc1']:.2f} in {row['minutes']} minutes", flush=True)


def flags(*, epochs: int, seed: int) -> list[str]:
    """Returns timm's flags but for the places of data and output."""
    size, classes = CIFAR10.augmentation.image_size, 10
    return [
        *("--train-split", "train", "--val-split", "val", "--model", "rexnet_100", "--device", "cpu"),
        *("--num-classes", str(classes), "--img-size", str(size), "--batch-size", str(CIFAR10.batch)),
        *("--workers", "1", "--channels-last", "--epochs", str(epochs), "--lr", str(CIFAR10.optim.lr)),
        *("--warmup-epochs", "0", "--sched-on-updates", "--seed", str(seed)),
    ]


def train(
    asked: argparse.Namespace, *, flags: list[str], seed: int, versions: dict[str, str]
) -> dict[str, Any]:
    """Returns the row of one training, on one core with one thread."""
    with TemporaryDirectory(prefix="stock-") as folder:
        program = [str(asked.python), str(asked.checkout / "train.py"), "--data-dir", str(asked.data)]
        start = time.monotonic()
        done = subprocess.run(
            ["taskset", "-c", str(asked.core), *program, *flags, "--output", folder, "--experiment", "run"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout[-2000:]}\ntimm's train.py ended with {done.returncode}")
        minutes = (time.monotonic() - start) / 60
        out = Path(folder) / "run"
        *_, last = csv.DictReader((out / "summary.csv").read_text().splitlines())
        digest = checksum(out / "last.pth.tar")
    command = shlex.join(["python", "train.py", "--data-dir", "DIR", *flags])
    identity = hashlib.sha256(f"{asked.git} {command} {versions}".encode()).hexdigest()[:8]
    return {
        "recipe": "stock",
        "variant": "rexnet_1.0",
        "data": None,
        "acc1": round(float(last["eval_top1"]), 4),
        "acc5": round(float(last["eval_top5"]), 4),
        "images": sum(1 for _ in (asked.data / "val").glob("*/*")),
        "weights": "final weights",
        "epochs": asked.epochs,
        "batch": CIFAR10.batch,
        "seed": seed,
        "minutes": round(minutes, 1),
        "attempts": 1,
        "machine": f"{processor()}, 1 core",
        "precision": "fp32",
        "versions": versions,
        "git": re.fullmatch(r"[0-9a-f]{40}", asked.git)[0],  # type: ignore[index]
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": command,
        "identity": identity,
        "settings": {},
        "sha256": digest,
        "link": None,
    }


if __name__ == "__main__":
    main()
