"""Several processes that make shards, and the lines that tell how far they are."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from threading import Thread

from pipeline.progress import Progress
from pipeline.shard import Job, Made, Tally, make

_TICK = 0.2  # seconds between two looks at how far they are


def make_all(
    jobs: Iterator[Job], *, shards: int, images: int, processes: int, where: Path, say: Callable[[str], None]
) -> list[Made]:
    """Every job's shard, in order; `images` is how many samples they hold in all.

    Raises what the first failing job raises, after the others have stopped.
    """
    with tempfile.TemporaryDirectory(prefix="packing-") as folder:
        tally = Tally(Path(folder) / "tally", shards)
        tally.create()
        counts = tally.counts()
        progress = Progress(doing=f"packing {where}", done=f"packed {where}", total=images, say=say)
        before = 0
        made: dict[int, Made] = {}
        running: dict[Future[Made], int] = {}
        with _executor(processes) as pool:
            try:
                while True:
                    while len(running) < 2 * processes and (job := next(jobs, None)) is not None:
                        running[pool.submit(make, job, tally=tally)] = job.number
                    if not running:
                        break
                    for done in wait(running, timeout=_TICK, return_when=FIRST_COMPLETED).done:
                        made[running.pop(done)] = _result(done)
                    finished = int(counts[:-1].sum())
                    progress.add(finished - before)
                    before = finished
            except BaseException:
                counts[-1] = 1
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        progress.end()
        return [made[number] for number in range(shards)]


def _executor(processes: int) -> Executor:
    if processes == 1:
        return ThreadPoolExecutor(1)
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin)


def _begin() -> None:
    """In a new process: the parent alone hears Ctrl-C, and nobody outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def _result(done: Future[Made]) -> Made:
    try:
        return done.result()
    except (ValueError, FileNotFoundError) as fault:
        raise type(fault)(str(fault)) from None  # raised here, where it is told from a fault of the program
