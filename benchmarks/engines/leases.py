"""What the scheduler tells a worker to do next."""

from dataclasses import dataclass

from benchmarks.evaluation.plan import Batch


@dataclass(frozen=True)
class LoadModel:
    """The worker shall load a model."""

    load: int


@dataclass(frozen=True)
class OpenRun:
    """The next run is due: `opened` wants its batches, before this worker is asked again."""

    run: int


@dataclass(frozen=True)
class Lease:
    """The worker shall measure a batch.

    Attributes:
        run: its number.
        batch: the batch.
        ahead: the batches of the stretch that begins with it; None within a stretch.
    """

    run: int
    batch: Batch
    ahead: tuple[Batch, ...] | None
