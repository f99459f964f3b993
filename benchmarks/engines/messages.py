"""What the runner and its workers say to each other. Values alone: they cross processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.config.schema import ModelConfig
from benchmarks.evaluation.counting import Wanted
from benchmarks.evaluation.plan import Batch
from benchmarks.results.journal import Row
from benchmarks.results.records import CacheRecord, ModelRecord, StagesRecord
from models.geometry import Size


@dataclass(frozen=True)
class Load:
    """Load a model; the one before goes."""

    number: int
    model: ModelConfig


@dataclass(frozen=True)
class Measure:
    """Measure episodes of one batch with the model that is loaded.

    Attributes:
        attempt: the runner's number of the run.
        dataset: its name.
        protocol: its name.
        seed: names the episode list.
        batch: the batch as planned.
        wanted: numbers of its episodes that are wanted.
        ahead: where a stretch of work begins, its batches: the worker's cache looks forward to
            them. None within a stretch.
        keep: what is wanted of the predicted masks beside their areas.
    """

    attempt: int
    dataset: str
    protocol: str
    seed: str
    batch: Batch
    wanted: frozenset[int]
    ahead: tuple[Batch, ...] | None
    keep: Wanted


Task = Load | Measure


@dataclass(frozen=True)
class Loaded:
    """A model is loaded.

    Attributes:
        number: as in `Load`.
        seconds: that it took.
        device: "cpu" or "cuda".
        hardware: the device's name.
        batch_size: what the model wants.
        reads_pixels: whether the model looks at any image.
        records: what a result says of the model, by dataset.
        digests: of the datasets as this worker finds them.
        grids: the model's grid for every size of a dataset's images, by dataset.
    """

    number: int
    seconds: float
    device: str
    hardware: str
    batch_size: int
    reads_pixels: bool
    records: Mapping[str, ModelRecord]
    digests: Mapping[str, str]
    grids: Mapping[str, Mapping[Size, Size]]


@dataclass(frozen=True)
class NotLoaded:
    """A model cannot be loaded before the user mends something.

    Attributes:
        number: as in `Load`.
        error: what to mend.
    """

    number: int
    error: Exception


@dataclass(frozen=True)
class Measured:
    """Episodes of one batch are measured.

    Attributes:
        attempt: as in `Measure`.
        batch: the batch's index.
        rows: of the episodes that could be measured.
        failed: what was raised by those that could not, by number.
        seconds: the time it took.
        masks: the predicted masks by number, where they are wanted, as in `Counted`.
        cache: encodes for these episodes, and the cache's peak so far.
        stages: where the time went.
        memory: the worker's peak in bytes.
    """

    attempt: int
    batch: int
    rows: tuple[Row, ...]
    failed: Mapping[int, str]
    seconds: float
    masks: Mapping[int, bytes]
    cache: CacheRecord
    stages: StagesRecord
    memory: int


@dataclass(frozen=True)
class NoMemory:
    """A batch does not fit."""

    attempt: int


Answer = Loaded | NotLoaded | Measured | NoMemory


@dataclass(frozen=True)
class Done:
    """A worker has answered its oldest task."""

    worker: int
    answer: Answer


@dataclass(frozen=True)
class Lost:
    """A worker is gone, and what it was given with it."""

    worker: int
    reason: str


Event = Done | Lost


class Executor(Protocol):
    """Workers that take tasks and answer each in its turn.

    Attributes:
        name: of the engine, as it stands in results.
        size: number of workers, which are counted from 0.
        depth: tasks that a worker should hold while others come, so that it never waits.
    """

    name: str
    size: int
    depth: int

    def send(self, worker: int, task: Task) -> None:
        """Give a worker a task, behind those that it has."""

    def wait(self, seconds: float | None) -> Sequence[Event]:
        """Wait for something to happen, for so long at most.

        Raises:
            BenchError, DatasetError, ModelError: what a worker cannot do and the user has to mend.
        """

    def replace(self, worker: int) -> None:
        """Put a new worker in the place of one that was lost."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def close(self) -> None:
        """Let all workers go, whatever they are at."""
