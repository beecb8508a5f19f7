"""Several trackers as one, and one that is silent."""

from collections.abc import Sequence

from launch.engine.ports import Record, Tracker


class Trackers:
    """Hands each record to every tracker, in the order given."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)

    def write(self, record: Record) -> None:
        for tracker in self.trackers:
            tracker.write(record)

    def close(self, *, state: str) -> None:
        """Closes every tracker, also when one of them fails; then the first failure is raised."""
        first: Exception | None = None
        for tracker in self.trackers:
            try:
                tracker.close(state=state)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first


class Silent:
    """The tracker of ranks that report nothing."""

    def write(self, record: Record) -> None: ...

    def close(self, *, state: str) -> None: ...
