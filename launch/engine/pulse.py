"""Signs of life of all ranks, and one sentence about the missing one when a world stands still."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from launch.engine.preemption import StopRequest

_INTERVAL = 1.0  # seconds between two signs of life
_SILENT = 5  # intervals without one
End = Callable[[str, Sequence[str]], None]
_DATA = "waiting for data"
_DATA_SHARE = 0.8  # of the time-out that a rank may wait for data: it must end before others give it up


class Pulse:
    """One rank's signs of life, which a thread puts into the store that the world was joined through.

    A rank that stands still, as it waits for a device or for other ranks, still gives them; one that is
    stopped or dead does not. So whoever waits too long can say for whom.

    Args:
        hosts: machine of each rank.
        store: shared by all ranks: `set(key, value)` and `get(key)`.
    """

    def __init__(self, rank: int, *, hosts: Sequence[str], store: Any, interval: float = _INTERVAL):
        self.rank, self.hosts, self.store, self.interval = rank, hosts, store, interval
        self._moved = time.monotonic()
        self._doing = "starting"
        self._count = 0
        self._armed: tuple[float, StopRequest, End, Callable[[], None]] | None = None
        self._ending = threading.Lock()
        if len(hosts) > 1:
            self._sign()
            threading.Thread(target=self._work, name="pulse", daemon=True).start()

    def note(self, doing: str) -> None:
        """Notes what this rank does from now on, and that it has moved."""
        self._doing = doing
        self._moved = time.monotonic()

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Inside, this rank waits for its images."""
        before = self._doing
        self.note(_DATA)
        yield
        self.note(before)

    def arm(self, *, timeout: float, stop: StopRequest, end: End, leave: Callable[[], None]) -> None:
        """From here on, ends the process when this rank has not moved for `timeout` seconds.

        Waiting for data may take 0.8 of that.

        Args:
            end: takes the sentence that says why and the machines to blame, on the lowest rank that can say
                it.
            leave: called before that on every rank.
        """
        self._moved = time.monotonic()
        self._armed = timeout, stop, end, leave

    def explain(self) -> None:
        """Ends the process, with a sentence, if another rank is missing; else returns.

        To be called when a collective has failed.
        """
        if self._armed is not None and len(self.hosts) > 1 and (missing := self._missing()):
            self._end(missing, self._lost(missing), blamed=missing)

    def _work(self) -> None:
        while True:
            time.sleep(self.interval)
            try:
                self._sign()
                self._look()
            except RuntimeError:  # the store is gone, and with it the launcher or rank 0
                continue

    def _sign(self) -> None:
        self._count += 1
        self.store.set(f"pulse/{self.rank}", json.dumps([self._count, self._doing]))

    def _look(self) -> None:
        if self._armed is None:
            return
        timeout, stop, *_ = self._armed
        waited, doing = time.monotonic() - self._moved, self._doing
        if doing == _DATA and waited > _DATA_SHARE * timeout:
            ranks = [rank for rank, (_, theirs) in enumerate(self._signs()) if theirs == _DATA]
            others = [rank for rank in range(len(self.hosts)) if rank not in ranks]
            self._end(
                others, self._starved(ranks, waited=waited, timeout=timeout), blamed=ranks if others else ()
            )
        elif waited > timeout:
            missing = self._missing()
            self._end(missing, self._stalled(missing, waited=waited, timeout=timeout), blamed=missing)
        elif stop.asked and waited > _SILENT * self.interval and (missing := self._missing()):
            # A launcher that has lost a rank asks the others to stop.
            self._end(missing, self._lost(missing), blamed=missing)

    def _signs(self) -> list[tuple[int, str]]:
        return [tuple(json.loads(self.store.get(f"pulse/{rank}"))) for rank in range(len(self.hosts))]

    def _missing(self) -> list[int]:
        """Returns the ranks that give no sign of life for a while."""
        before = self._signs()
        for _ in range(_SILENT):
            time.sleep(self.interval)
            self._sign()
        return [r for r, (old, new) in enumerate(zip(before, self._signs(), strict=True)) if old[0] == new[0]]

    def _end(self, silent: Sequence[int], message: str, *, blamed: Sequence[int]) -> None:
        """Ends the process; of those that are not `silent`, the lowest rank says why."""
        assert self._armed is not None
        *_, end, leave = self._armed
        with self._ending:  # main thread and ours may both have come here
            try:
                leave()
                if self.rank == min(set(range(len(self.hosts))) - set(silent), default=self.rank):
                    end(message, sorted({self.hosts[rank] for rank in blamed}))
                else:
                    time.sleep(_SILENT * self.interval)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:  # else a full disk would leave a process that waits for ever
                os._exit(1)

    def _lost(self, missing: Sequence[int]) -> str:
        return (
            f"{self._named(missing)} gave no sign of life for {_SILENT * self.interval:g} s, last when "
            f"{self._last(missing)}: it has ended, or its machine has. If it said nothing itself, look there "
            f"for lack of memory (dmesg). {_AGAIN}"
        )

    def _stalled(self, missing: Sequence[int], *, waited: float, timeout: float) -> str:
        text = f"rank {self.rank} has waited {waited:.0f} s for the others (--timeout {timeout / 60:g}) "
        text += f"when {self._doing}. "
        if missing:
            text += (
                f"{self._named(missing)} gave no sign of life, last when {self._last(missing)}: look there "
            )
            text += "for a stopped process, lack of memory (dmesg) or a lost network"
        else:
            text += f"All ranks are alive: {self._last(range(len(self.hosts)))}. Look there for a hung file "
            text += "system or GPU (dmesg, nvidia-smi)"
        return f"{text}. {_AGAIN}"

    def _starved(self, ranks: Sequence[int], *, waited: float, timeout: float) -> str:
        return (
            f"{self._named(ranks)} got no data for {waited:.0f} s, and after {timeout:.0f} s (--timeout "
            f"{timeout / 60:g}) the ranks give each other up: bring the data folder back there. {_AGAIN}"
        )

    def _named(self, ranks: Iterable[int]) -> str:
        return " and ".join(f"rank {rank} on {self.hosts[rank]}" for rank in ranks)

    def _last(self, ranks: Iterable[int]) -> str:
        """Returns what each of the ranks does, told once where several do the same."""
        signs, doing = self._signs(), dict[str, list[int]]()
        for rank in ranks:
            doing.setdefault(signs[rank][1], []).append(rank)
        if len(doing) == 1 and len(self.hosts) > 1:
            return next(iter(doing))
        fewest = sorted(doing.items(), key=lambda entry: len(entry[1]))
        return ", ".join(f"{self._named(who[:3])}{' ...' * (len(who) > 3)} {what}" for what, who in fewest)


_AGAIN = "The same command goes on from the newest checkpoint"


def silent_pulse() -> Pulse:
    """Returns the pulse of a rank that is alone."""
    return Pulse(0, hosts=("",), store=None)
