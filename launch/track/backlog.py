"""Lines on their way into a file, which wait in memory while the file system refuses them."""

from io import FileIO
from pathlib import Path


class Backlog:
    """Appends whole lines to a file, in order; one that cannot be written waits, and those after it do, too.

    The file is opened for each attempt. On a network file system only closing it tells of a full disk, and a
    handle that has gone stale stays so. What a failed attempt has left of a line is cut off.

    Args:
        path: the file; its folder must exist.

    Raises:
        OSError: the file cannot be opened. Later, nothing raises.

    Attributes:
        lines: those that wait, each with its end.
        error: why they could not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[bytes] = []
        self.error: OSError | None = None
        self._doubted: int | None = None
        with path.open("ab"):
            pass

    def add(self, line: bytes) -> None:
        """Appends the lines that wait and `line`, as far as they can be written."""
        self.lines.append(line)
        self.flush()

    def flush(self) -> None:
        """Appends the lines that wait, as far as they can be written."""
        self.error = None
        if not self.lines:
            return
        try:
            with self.path.open("ab", buffering=0) as file:
                self._cut(file)
                self._doubted = file.tell()  # until it is closed
                written = self._append(file)
        except OSError as error:
            self.error = error
        else:
            self._doubted = None
            del self.lines[:written]

    def _cut(self, file: FileIO) -> None:
        """Cuts off what an attempt has left whose end is not known: all of its lines wait still."""
        if self._doubted is not None and file.tell() > self._doubted:
            file.truncate(self._doubted)
            file.seek(self._doubted)

    def _append(self, file: FileIO) -> int:
        """Returns how many lines are whole in the file, and leaves no part of another there.

        Raises:
            OSError: that part cannot be cut off.
        """
        for count, line in enumerate(self.lines):
            whole = file.tell()
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError as error:
                self.error = error
                file.truncate(whole)
                return count
        return len(self.lines)
