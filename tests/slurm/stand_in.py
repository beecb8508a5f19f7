"""Stands in for launch/train.py where a test is about Slurm: as quick to start, and it does as it is told.

`stand_in.py RECIPE --out FOLDER --plan PLAN [--steps N] [more]`. Plans: train (counts steps; saves and stops
when signalled), user-error, fault, silent (ends well without a word), deaf-fault (never ready; in the second
attempt a fault), idle (asks for more, but gets nowhere), bad-node (gets on by a step, then misses node2, if
that is among the nodes). STAND_IN_PLAN, STAND_IN_STEPS and STAND_IN_OUT say the same where only real flags
are taken.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def value(flag: str, default: str = "") -> str:
    told = os.environ.get(f"STAND_IN_{flag.removeprefix('--').upper()}", default)
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else told


SETTINGS = (
    *("LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "REXNET_STAGED"),
    *("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "INSIDE_IMAGE", "BOUND"),
)

out, plan, last = Path(value("--out")), value("--plan", "train"), int(value("--steps", "1"))
rank, attempt = int(os.environ["RANK"]), int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def end(state: str, *, step: int | None, message: str = "", hosts: list[str] | None = None) -> None:
    if rank == 0:
        record = {"state": state, "step": step, "message": message, "folder": None, "hosts": hosts or []}
        Path(os.environ["REXNET_ATTEMPT"]).write_text(json.dumps(record))


out.mkdir(parents=True, exist_ok=True)
seen = {
    "rank": rank,
    "world": int(os.environ["WORLD_SIZE"]),
    "host": socket.gethostname(),
    "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "arguments": sys.argv[1:],
    "settings": {name: os.environ.get(name) for name in SETTINGS},
    "folder": str(Path.cwd()),
}
(out / f"attempt{attempt}-rank{rank}.json").write_text(json.dumps(seen))

if plan == "user-error":
    end("user-error", step=None, message="no such\nfolder")
    sys.exit(2)
if plan == "deaf-fault" and attempt == 0:
    time.sleep(600)
if plan in ("fault", "deaf-fault"):
    end("fault", step=3, message="it broke")
    sys.exit(1)
if plan == "silent":
    sys.exit(0)

if plan == "idle":
    end("requeue", step=5, message="a rank is missing")
    sys.exit(1)
if plan == "bad-node":
    seen_by = [out / f"attempt{attempt}-rank{other}.json" for other in range(seen["world"])]
    while not all(file.exists() and file.read_text() for file in seen_by):
        time.sleep(0.05)
    if "node2" in (json.loads(file.read_text())["host"] for file in seen_by):
        end("requeue", step=attempt + 1, message="rank 1 on node2 gave no sign of life", hosts=["node2.lan"])
        sys.exit(1)

stopping: list[int] = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda received, _: stopping.append(received))
saved = out / f"step-rank{rank}"
step = int(saved.read_text()) if saved.exists() else 0
(out / f"attempt{attempt}-rank{rank}.ready").write_text(str(step))
while step < last and not stopping:
    if rank == 0 and (out / "lost").exists():  # a network would tell that a peer is gone
        end("fault", step=step, message="connection closed by peer")
        sys.exit(1)
    step += 1
    time.sleep(0.1)
if stopping and rank == 0:
    time.sleep(2)  # rank 0 saves
saved.write_text(str(step))
end("requeue" if stopping else "done", step=step, message=f"signals {stopping}" if stopping else "")
while not Path(os.environ["REXNET_ATTEMPT"]).exists():  # all leave together, rank 0 with its word
    time.sleep(0.05)
os._exit(0)  # with the handlers in place: a signal may come more than once
