"""The engine of one worker: this process."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.engines.messages import Done, Event, Task
from benchmarks.engines.worker import Worker


class SerialExecutor:
    """One worker, who works while the runner waits.

    Args:
        worker: where it works.
        clock: seconds.
    """

    name = "local"
    size = 1
    depth = 1

    def __init__(self, worker: Worker, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = worker
        self._tasks: deque[Task] = deque()
        self.now = clock

    def send(self, worker: int, task: Task) -> None:
        """Give the worker a task."""
        self._tasks.append(task)

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """Do the oldest task."""
        return [Done(0, self._worker.do(self._tasks.popleft()))] if self._tasks else []

    def replace(self, worker: int) -> None:
        """Nobody can lose this process and go on."""

    def close(self) -> None:
        """Free the model and stop the threads."""
        self._worker.close()
