"""The engine of a cluster: a Ray actor for every worker, one on each device.

A cluster that `--address` names is joined; without one, a cluster of this machine alone is started
and ended with the run. Code and data must be the same on all nodes and lie at the same paths.
"""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.messages import Done, Event, Lost, Task
from benchmarks.engines.worker_process import Place, Raised, Service
from benchmarks.errors import BenchError
from benchmarks.results import environment

_INSTALL = "the ray engine needs Ray on all nodes; run: pip install 'fss-bench[ray]'"
_TRIES = 3  # at a cluster that answers, and then fails to serve
_ALONE = 300.0  # seconds to wait for a cluster that has no place for a single worker


class Actor:
    """A worker on some node of the cluster."""

    def __init__(self, place: Place) -> None:
        self._service = Service(place)

    def who(self) -> str:
        """Where this worker is."""
        return environment.process()

    def do(self, task: Task) -> Any:
        """An `Answer`, or `Raised`."""
        return self._service.do(task)


class RayExecutor:
    """Workers as actors.

    Args:
        config: the matrix, its paths absolute; says address, device and number of workers.
        path: folders in which the user's own modules are looked for.
        passed_on: environment variables for the workers.

    Raises:
        BenchError: if Ray is not installed, there is no such cluster, or a single device is named.
    """

    name = "ray"
    depth = 2

    def __init__(
        self, config: BenchConfig, path: Sequence[str], passed_on: Mapping[str, str]
    ) -> None:
        self._ray = _imported()
        self._joined = self._ray.is_initialized()
        if not self._joined:
            _connect(self._ray, config)
        resources = self._ray.cluster_resources()
        gpus, processors = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        if config.device not in ("auto", "cpu", "cuda"):
            raise BenchError(
                f"--engine ray needs --device auto, cpu or cuda, not {config.device!r}"
            )
        on_gpus = config.device == "cuda" or (config.device == "auto" and gpus > 0)
        threads = config.worker_threads or (None if on_gpus else 1)
        self.size = config.workers or max(1, gpus if on_gpus else processors // (threads or 1))
        self._place = Place(config, "cuda" if on_gpus else "cpu", threads, path, passed_on)
        self._needs = {"num_cpus": threads or 1, "num_gpus": int(on_gpus)}
        self._actors: dict[int, Any] = {}
        self._asked: dict[int, deque[tuple[Any, bool]]] = {}  # answers to come; True: to `who`
        self._heard = self.now()
        self.hosts: dict[int, str] = {}
        for worker in range(self.size):
            self.replace(worker)

    def replace(self, worker: int) -> None:
        """Ask for an actor; it comes when there is room for it."""
        if worker in self._actors:
            # One that is only cut off lives on, and holds its GPU.
            self._ray.kill(self._actors[worker])
        kind = self._ray.remote(Actor).options(
            **self._needs, max_restarts=0, scheduling_strategy="SPREAD"
        )
        actor = kind.remote(self._place)
        self._actors[worker] = actor
        self._asked[worker] = deque([(actor.who.remote(), True)])

    def send(self, worker: int, task: Task) -> None:
        """Give a worker a task."""
        self._asked[worker].append((self._actors[worker].do.remote(task), False))

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """Answers that are there, and workers that are gone.

        Raises:
            BenchError, DatasetError, ModelError: what a worker raised, or that the cluster has no
                place for any.
        """
        first = {asked[0][0]: worker for worker, asked in self._asked.items() if asked}
        if not first:
            return []
        limit = _ALONE if seconds is None else seconds
        ready, _ = self._ray.wait(list(first), num_returns=1, timeout=limit)
        if ready:
            # What else is there by now comes along.
            ready, _ = self._ray.wait(list(first), num_returns=len(first), timeout=0)
            self._heard = self.now()
        elif not self.hosts and self.now() - self._heard > _ALONE:
            raise BenchError(
                f"the cluster had no place for a worker in {_ALONE:.0f} seconds: each needs "
                f"{self._needs['num_cpus']} processors and {self._needs['num_gpus']} GPUs"
            )
        events = [self._heed(first[reference]) for reference in ready]
        return [event for event in events if event is not None]

    def _heed(self, worker: int) -> Event | None:
        reference, to_who = self._asked[worker].popleft()
        try:
            answer = self._ray.get(reference)
        except _losses(self._ray) as error:
            where = self.hosts.pop(worker, "before it began")
            return Lost(worker, f"{where}: {str(error).strip().partition(chr(10))[0]}")
        if to_who:
            self.hosts[worker] = answer
            return None
        if isinstance(answer, Raised):
            raise answer.error
        return Done(worker, answer)

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def close(self) -> None:
        """End all workers, and the cluster if it was started here."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if not self._joined:
            self._ray.shutdown()


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise BenchError(_INSTALL) from None
    return ray


def _losses(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray raises where a worker is gone, or its answer with the node that kept it."""
    errors = ray.exceptions
    return (
        errors.RayActorError,
        errors.ObjectLostError,
        errors.NodeDiedError,
        errors.LocalRayletDiedError,
        errors.OutOfMemoryError,
    )


def _connect(ray: Any, config: BenchConfig) -> None:
    own = {
        "num_cpus": (config.workers or os.cpu_count() or 1) * (config.worker_threads or 1),
        "include_dashboard": False,
    }
    for _ in range(_TRIES):
        try:
            ray.init(
                # Without an address Ray would join whatever the environment or a file of old names.
                address=config.address or "local",
                logging_level="error",
                log_to_driver=False,
                **({} if config.address else own),
            )
            return
        except ConnectionAbortedError as error:
            # The client's proxy forks a server beside threads of its own, which may kill it.
            reason = str(error).strip().rpartition("\n")[2]  # of the server's traceback
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error)
            break
    raise BenchError(
        f"no Ray cluster at {config.address or 'this machine'}: {reason}; start one with: "
        f"ray start --head"
    )
