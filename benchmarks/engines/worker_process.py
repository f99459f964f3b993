"""The worker's side of an engine with processes. Imports torch only where it begins to work."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from benchmarks.config.schema import BenchConfig
from benchmarks.errors import BenchError
from benchmarks.results import environment
from benchmarks.results.agreement import differences
from datasets_prep.errors import DatasetError
from models.errors import ModelError


@dataclass(frozen=True)
class Raised:
    """What a worker raised, as it can cross to another process."""

    error: Exception

    @classmethod
    def of(cls, error: Exception) -> "Raised":
        """Errors for the user cross as they are, all others with their traceback in words."""
        # Of a library's own kinds of OSError, who knows whether they can be made anew.
        disk = isinstance(error, OSError) and type(error).__module__ == "builtins"
        if disk or isinstance(error, (BenchError, DatasetError, ModelError)):
            return cls(error)
        return cls(RuntimeError("a worker failed\n" + "".join(traceback.format_exception(error))))


@dataclass(frozen=True)
class Place:
    """Where and how a worker works.

    Attributes:
        config: the matrix, its paths absolute.
        device: a torch device.
        threads: that torch computes with; None leaves it to torch.
        path: folders in which the user's own modules are looked for.
        variables: of the environment, which a node of a cluster has not got from the runner.
        program: the code that the runner runs, and the worker has to.
    """

    config: BenchConfig
    device: str
    threads: int | None
    path: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    program: Mapping[str, str] = field(default_factory=lambda: environment.program())


class Service:
    """A worker that is set up on its first task, and whose errors are values."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._worker: Any = None

    def do(self, task: Any) -> Any:
        """An `Answer`, or `Raised`."""
        try:
            if self._worker is None:
                self._worker = self._set_up()
            return self._worker.do(task)
        except Exception as error:  # another process cannot let it pass by
            return Raised.of(error)

    def _set_up(self) -> Any:
        for name, wanted, found in differences(self._place.program, environment.program()):
            raise BenchError(
                f"the worker on {environment.process()} runs {name} {found}, the runner {wanted}; "
                f"install the same for all workers, and leave it as it is while a run goes"
            )
        sys.path.extend(folder for folder in self._place.path if folder not in sys.path)
        # Before huggingface_hub is imported, which reads them then.
        os.environ.update(self._place.variables)
        import torch

        from benchmarks.config.loading import resolve_device
        from benchmarks.engines.worker import Worker

        if self._place.threads is not None:
            torch.set_num_threads(self._place.threads)
        return Worker(self._place.config, resolve_device(self._place.device))


def serve(connection: Connection, place: Place) -> None:
    """Answer the tasks that come, until the other side is gone."""
    # Ctrl-C goes to the whole group, and the runner's end is what ends a worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tasks: SimpleQueue[Any] = SimpleQueue()
    # Tasks are read while one is done: were both sides to send at once, neither might get on.
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    service = Service(place)
    while True:
        answer = service.do(tasks.get())
        try:
            connection.send(answer)
        except OSError:
            os._exit(0)


def _receive(connection: Connection, tasks: "SimpleQueue[Any]") -> None:
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            # At once: nobody waits for what the worker is at.
            os._exit(0)
