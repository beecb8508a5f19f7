"""What Slurm has noted about a job and its nodes. No torch."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from launch.history import Sign


def job_record(job: str) -> dict[str, str]:
    """Returns the fields of a job's record; nothing where Slurm does not answer."""
    return dict(re.findall(r"(\S+?)=(\S*)", _shown("job", job)))


def node_records() -> str:
    """Returns what Slurm says of its nodes, a line each."""
    return _shown("node")


def job_signs(job: str, *, attempt: int) -> list[Sign]:
    """Returns what Slurm knows of the end of an attempt that runs or has just ended."""
    record = job_record(job)
    signs: list[Sign] = []
    noted = record.get("PreemptTime", "")
    if noted[:1].isdigit() and noted >= record.get("StartTime", ""):  # else it is an earlier attempt's
        signs.append("preempted")
    if int(record.get("Restarts", attempt)) > attempt:
        signs.extend(("terminated", "restarted"))
    elif record.get("JobState", "RUNNING") != "RUNNING":
        signs.append("terminated")
    return signs


def exclude(job: str, nodes: Sequence[str]) -> str | None:
    """Keeps a job that waits off some nodes; returns those it avoided already, None where Slurm refuses."""
    before = job_record(job).get("ExcNodeList", "").removeprefix("(null)")
    after = ",".join(filter(None, [before, *nodes]))
    done = subprocess.run(["scontrol", "update", f"JobId={job}", f"ExcNodeList={after}"])
    return None if done.returncode else before


def _shown(*what: str) -> str:
    return subprocess.run(["scontrol", "-o", "show", *what], capture_output=True, text=True).stdout
