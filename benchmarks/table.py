"""`episodes.parquet`: the counts of every episode as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchError
from benchmarks.metrics import COUNTS, EpisodeCounts
from benchmarks.records import RunRecord

Milliseconds = NDArray[np.float32]


@dataclass(frozen=True)
class EpisodeTable:
    """What the file holds, one row an episode, by episode number.

    Attributes:
        counts: the integers that figures are made of.
        queries: the query image, for clustered intervals.
        milliseconds: the time it took; None where it was not kept.
    """

    counts: EpisodeCounts
    queries: tuple[str, ...]
    milliseconds: Milliseconds | None


def _schema(timed: bool) -> Any:
    import pyarrow as pa

    fields = {"episode": pa.int64(), "class_id": pa.int64()}
    fields["query"] = pa.dictionary(pa.int32(), pa.string())
    fields |= {name: pa.int64() for name in COUNTS}
    return pa.schema(fields | ({"milliseconds": pa.float32()} if timed else {}))


def write_table(
    path: Path, counts: EpisodeCounts, queries: Sequence[str], milliseconds: Milliseconds | None
) -> None:
    """Write the file, whole or not at all; the same values give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"episode": counts.episode, "class_id": counts.class_id}
    columns["query"] = pa.array(queries, pa.string()).dictionary_encode()
    columns |= dict(zip(COUNTS, counts.areas.T, strict=True))
    if milliseconds is not None:
        columns["milliseconds"] = milliseconds
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(
        pa.table(columns, schema=_schema(milliseconds is not None)),
        partial,
        compression="zstd",
        # Integers by their differences take about two thirds of the space.
        use_dictionary=["query"],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in ("episode", "class_id", *COUNTS)},
    )
    partial.replace(path)


def read_table(path: Path, record: RunRecord) -> EpisodeTable:
    """Read the file that belongs to `record`.

    Raises:
        BenchError: if it is missing or damaged, or does not belong to the record.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BenchError(f"cannot read {path}: {error}") from None
    timed = "milliseconds" in table.column_names
    if not table.schema.equals(_schema(timed)) or any(c.null_count for c in table.columns):
        raise BenchError(f"{path} does not hold the columns of a result")
    counts = EpisodeCounts(
        table.column("episode").to_numpy(),
        table.column("class_id").to_numpy(),
        np.stack([table.column(name).to_numpy() for name in COUNTS], axis=1),
    )
    episodes = record.setup.episodes.count
    if counts.episode.tolist() != list(range(episodes)):
        raise BenchError(f"{path} does not hold the {episodes} episodes of its record")
    known = set(record.setup.dataset.classes)
    if (counts.areas < 0).any() or not set(counts.class_id.tolist()) <= known:
        raise BenchError(f"{path} holds counts below 0 or classes that its record does not name")
    return EpisodeTable(
        counts,
        tuple(table.column("query").to_pylist()),
        table.column("milliseconds").to_numpy() if timed else None,
    )
