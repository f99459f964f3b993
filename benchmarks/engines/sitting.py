"""What is known of one sitting of a run beside its rows."""

from datetime import UTC, datetime

from benchmarks.engines.messages import Measured
from benchmarks.results import environment
from benchmarks.results.records import CacheRecord, Course, StagesRecord


class Sitting:
    """One sitting, from when it is made.

    Attributes:
        failures: episodes that could not be measured.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        # Asked at the start: what is pulled or installed during a run is not what runs.
        self._versions, self._revision = environment.versions(), environment.revision()
        self._cache, self._stages = CacheRecord(), StagesRecord()
        self._memory = 0
        self._workers: set[int] = set()

    def take(self, worker: int, measured: Measured) -> None:
        """Add what a worker tells of one batch."""
        self.failures += len(measured.failed)
        self._cache += measured.cache
        self._stages += measured.stages
        self._memory = max(self._memory, measured.memory)
        self._workers.add(worker)

    def course(self, device: str, hardware: str, engine: str) -> Course:
        """What a result says of it."""
        return Course(
            started=self._started,
            hardware=hardware,
            peak_memory_bytes=self._memory or environment.peak_memory(device),
            cache=self._cache,
            stages=self._stages,
            engine=engine,
            workers=max(len(self._workers), 1),
            versions=self._versions,
            revision=self._revision,
        )
