"""A program as others start it, watched from outside: when it wrote which line, and its memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GRACE = 20.0  # seconds between asking a program to end and ending it
_LOOK = 0.02
_WEIGH = 0.5
_RARE = 50  # times as long as a look at memory took passes before the next: of many pages it takes 0.1 s
_TOLD = 15  # lines of output in a message


class Watched:
    """What a program did up to some moment, at which it is told to end, or up to its own end.

    Args:
        until: whether that moment has come, of this; asked all the time.
        timeout: seconds after which it is ended and an error raised.

    Attributes:
        lines: of its output, each with the seconds since the start.
        seconds: up to the moment.
        memory_mib: most memory of it and of all that it started; pages shared by several count once.

    Raises:
        RuntimeError: it ended by itself with a code that is not 0, or took too long; with its last lines.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        until: Callable[[Watched], bool] = lambda _: False,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 1800.0,
    ):
        self.command, self.lines, self.memory_mib = command, list[tuple[float, str]](), 0.0
        self._began = time.perf_counter()
        program = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(program,), daemon=True)
        reader.start()
        try:
            ended = self._watch(program, until=until, timeout=timeout)
            self.seconds = time.perf_counter() - self._began
        finally:
            _end(program)
            reader.join(timeout=_GRACE)
            assert program.stdout is not None
            program.stdout.close()
        if ended and program.returncode:
            raise RuntimeError(f"{self._told()}\nit ended with {program.returncode}")

    def time_of(self, pattern: str) -> float | None:
        """Returns the seconds until the first line in which a pattern is found; None where there is none."""
        found = (seconds for seconds, line in list(self.lines) if re.search(pattern, line))
        return next(found, None)

    def _watch(
        self, program: subprocess.Popen[str], *, until: Callable[[Watched], bool], timeout: float
    ) -> bool:
        """Returns whether the program ended before it was told to."""
        due = _WEIGH
        while not until(self):
            if program.poll() is not None:
                return True
            now = time.perf_counter() - self._began
            if now > timeout:
                raise RuntimeError(f"{self._told()}\nit took more than {timeout:.0f} s")
            if now > due:
                self.memory_mib = max(self.memory_mib, sum(map(_share_mib, _family(program.pid))))
                took = time.perf_counter() - self._began - now
                due = now + max(_WEIGH, _RARE * took)
            time.sleep(_LOOK)
        return False

    def _read(self, program: subprocess.Popen[str]) -> None:
        assert program.stdout is not None
        for line in program.stdout:
            self.lines.append((time.perf_counter() - self._began, line.rstrip("\n")))

    def _told(self) -> str:
        return "\n".join([" ".join(self.command), *(line for _, line in self.lines[-_TOLD:])])


def _end(program: subprocess.Popen[str]) -> None:
    """Asks the program to end, and ends what is left of its session."""
    if program.poll() is None:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(timeout=_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def _family(pid: int) -> list[int]:
    """Returns a process and all that descend from it."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _share_mib(pid: int) -> float:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        share = re.search(r"^Pss:\s*(\d+) kB", text, re.MULTILINE)
        return int(share[1]) / 1024 if share else 0.0
    return 0.0
