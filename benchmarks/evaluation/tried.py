"""What came of a batch, as values."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.results.journal import Row
from benchmarks.results.records import StagesRecord


@dataclass
class EncodeCounts:
    """How often a model has encoded for a batch, and how often it would have without a cache.

    An image counts once for each part of its features that is kept by itself.
    """

    images: int = 0
    supports: int = 0
    naive_images: int = 0
    naive_supports: int = 0


@dataclass(frozen=True)
class Tried:
    """What came of one batch.

    Attributes:
        rows: of the episodes that could be measured.
        failed: what was raised by those that could not, by number.
        masks: the predicted masks by number, where they are wanted, as in `Counted`.
        seconds: that it took.
        encodes: that it took.
        stages: where the time went.
    """

    rows: tuple[Row, ...]
    failed: Mapping[int, str]
    masks: Mapping[int, bytes]
    seconds: float
    encodes: EncodeCounts
    stages: StagesRecord
