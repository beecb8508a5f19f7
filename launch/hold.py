"""What rank 0 has of a run's folder: the claim on it, and the process that writes checkpoints into it."""

from __future__ import annotations

from launch.attempt import Attempt
from launch.claim import Claim, Taken
from launch.config import Run
from launch.engine.checkpoint import Checkpoints
from launch.engine.distributed import World
from launch.engine.faults import Superseded
from launch.engine.keeper import Keeper, NoKeeper
from launch.engine.ports import Record, Saver
from launch.engine.state import TrainState
from launch.engine.writer import Writer
from launch.folder import RunFolder
from launch.opening import Say


class Hold:
    """Taken once the folder is known, given up at the end. Other ranks never take it: it does nothing."""

    def __init__(self, attempt: Attempt, *, say: Say):
        self.attempt, self.say = attempt, say
        self.claim: Claim | None = None
        self.writer: Writer | None = None

    def take(self, folder: RunFolder, run: Run, key: str, fresh: bool) -> None:
        """Claims the folder for the run and starts the writer; if `fresh`, moves an earlier run aside.

        Raises:
            ValueError: another process holds the folder, or it holds another run.
        """
        try:
            if fresh and folder.path.exists():
                Claim(folder.path).close()
                self.say(f"The earlier run is now in {folder.move_aside()}")
            folder.check_same_run(run, identity=key)
            self.claim = Claim(folder.path)
        except Taken:
            self.attempt.barred = True
            raise
        if self.claim.earlier:
            self.say(f"Took over from {self.claim.earlier}, which has ended without a word")
        self.writer = Writer()
        self.attempt.begin()
        self.say(f"Run folder: {folder.path}")

    def keeper(self, checkpoints: Checkpoints, state: TrainState, *, world: World) -> Saver:
        """Returns what saves the state."""
        if self.claim is None or self.writer is None:
            return NoKeeper()
        return Keeper(checkpoints, state, writer=self.writer, pin=world.pin, claim=self.claim.file)

    def check(self) -> None:
        """Raises Superseded where the folder is another process's by now; then nothing is recorded there."""
        try:
            if self.claim is not None:
                self.claim.check()
        except Superseded:
            self.attempt.barred = True
            raise

    def close(self) -> None:
        """Ends the writer and gives the folder free."""
        writer, claim, self.writer, self.claim = self.writer, self.claim, None, None
        if writer is not None:
            writer.close()
        if claim is not None:
            claim.close()


class Guard:
    """The first of the trackers: keeps records from being written into a folder that is another's by now."""

    def __init__(self, hold: Hold):
        self.hold = hold

    def write(self, record: Record) -> None:
        self.hold.check()

    def close(self, *, state: str) -> None:
        """Nothing to close."""
