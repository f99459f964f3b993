"""The engine of one worker: this process."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.engines.station import Station
from benchmarks.engines.tasks import Done, Event, Task


class SerialCrew:
    """One worker, who works while the runner waits.

    Args:
        station: where it works.
        clock: seconds.
    """

    name = "local"
    size = 1
    depth = 1

    def __init__(self, station: Station, clock: Callable[[], float] = time.monotonic) -> None:
        self._station = station
        self._tasks: deque[Task] = deque()
        self.now = clock

    def send(self, worker: int, task: Task) -> None:
        """Give the worker a task."""
        self._tasks.append(task)

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """Do the oldest task."""
        return [Done(0, self._station.do(self._tasks.popleft()))] if self._tasks else []

    def replace(self, worker: int) -> None:
        """Nobody can lose this process and go on."""

    def close(self) -> None:
        """Free the model and stop the threads."""
        self._station.close()
