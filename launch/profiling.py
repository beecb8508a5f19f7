"""A few steps under torch's profiler: a trace with named ranges, and a table."""

from __future__ import annotations

from contextlib import closing

import torch

from launch.attempt import Attempt
from launch.config import Run
from launch.engine.distributed import find_place
from launch.opening import open_session, open_terminal

_WARMUP = 3
_ROWS = 25


def profile(run: Run, attempt: Attempt, *, steps: int) -> None:
    """Trains `steps` steps after a warm-up and writes a table and trace.json (for Perfetto).

    Raises:
        ValueError, FileNotFoundError: something the user can mend.
    """
    _, say = open_terminal(find_place())
    session, folder = open_session(run, attempt, say=say, suffix="-profile")
    step = session.new_step(session.new_state())
    with closing(session.train_batches(from_step=0, to_step=_WARMUP + steps)) as batches:
        for _ in range(_WARMUP):
            step(batches, lr=run.optim.lr / 100, decay=0.9)
        with torch.profiler.profile(activities=torch.profiler.supported_activities()) as recorded:
            for _ in range(steps):
                step(batches, lr=run.optim.lr / 100, decay=0.9)
            step.totals.tolist()
    attempt.step = _WARMUP + steps
    if not session.world.place.first:
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    recorded.export_chrome_trace(str(folder.path / "trace.json"))
    averages = recorded.key_averages()
    on_device = any(row.self_device_time_total for row in averages)
    order = "self_device_time_total" if on_device else "self_cpu_time_total"
    table = averages.table(sort_by=order, row_limit=_ROWS, max_name_column_width=40)
    (folder.path / "table.txt").write_text(table)
    say(table)
    say(f"{steps} steps; trace {folder.path / 'trace.json'}, table {folder.path / 'table.txt'}")
