"""The engine of this machine: a process for every worker, one on each device."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any

from benchmarks.engines.messages import Done, Event, Lost, Task
from benchmarks.engines.worker_process import Place, Raised, serve

_LAST_WORDS = 5.0  # seconds that an ended process has to be gone


@dataclass
class _Worker:
    process: Any
    connection: Connection


class LocalExecutor:
    """Workers as processes, started at once, each with the packages loaded but once for all.

    Args:
        places: where each of them works.
    """

    name = "local"
    depth = 2

    def __init__(self, places: Sequence[Place]) -> None:
        self.size = len(places)
        self._places = places
        self._context = _context()
        self._workers: dict[int, _Worker] = {}
        for worker in range(self.size):
            self.replace(worker)

    def replace(self, worker: int) -> None:
        """Start the process of a worker."""
        place = self._places[worker]
        ours, theirs = self._context.Pipe()
        process: Any = self._context.Process(  # type: ignore[attr-defined]
            target=serve, args=(theirs, place), name=f"bench-worker-{worker}", daemon=True
        )
        with _environment({} if place.threads is None else {"OMP_NUM_THREADS": str(place.threads)}):
            process.start()
        theirs.close()
        self._workers[worker] = _Worker(process, ours)

    def send(self, worker: int, task: Task) -> None:
        """Give a worker a task; one that is gone is noticed by `wait`."""
        try:
            self._workers[worker].connection.send(task)
        except OSError:
            return

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """Answers that are there, and workers whose process has ended.

        Raises:
            BenchError, DatasetError, ModelError: what a worker raised.
        """
        by_connection = {own.connection: number for number, own in self._workers.items()}
        events: list[Event] = []
        for ready in wait(list(by_connection), seconds):
            worker = by_connection[ready]  # type: ignore[index]
            try:
                answer = self._workers[worker].connection.recv()
            except (EOFError, OSError):
                events.append(Lost(worker, self._bury(worker)))
                continue
            if isinstance(answer, Raised):
                raise answer.error
            events.append(Done(worker, answer))
        return events

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def close(self) -> None:
        """End all processes."""
        for own in self._workers.values():
            own.process.terminate()
        for worker in list(self._workers):
            self._bury(worker)

    def _bury(self, worker: int) -> str:
        own = self._workers.pop(worker)
        own.connection.close()
        own.process.join(_LAST_WORDS)
        if own.process.exitcode is None:
            own.process.kill()
            own.process.join()
        code: int = own.process.exitcode
        return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _context() -> BaseContext:
    """Processes that fork from a clean one: a GPU or a thread pool does not survive a fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.engines.worker"])
    return context


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The environment that a new process gets."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
