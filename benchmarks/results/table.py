"""`episodes.parquet`: the counts of every episode as a table."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchError
from benchmarks.evaluation.metrics import COUNTS, METRICS, EpisodeCounts, further_counts
from benchmarks.results.records import RunRecord
from datasets_prep.runtime.whole import whole_file

Milliseconds = NDArray[np.float32]
MOST_PIXELS = 2**40  # an episode's; sums of them stay far from overflow
_LONGEST_NAME = 1000  # characters of an image's id
_MOST_BYTES = 512  # unpacked, of a row on average, most of it for a name
_HARMLESS = 2**20  # bytes below which no average counts


@dataclass(frozen=True)
class EpisodeTable:
    """What the file holds, one row an episode, by episode number.

    Attributes:
        counts: what figures are made of.
        queries: the query image, for clustered intervals.
        milliseconds: the time it took; None where it was not kept.
    """

    counts: EpisodeCounts
    queries: tuple[str, ...]
    milliseconds: Milliseconds | None


def _schema(names: Container[str]) -> Any:
    """The columns in order: those that all tables have, and of the others those in `names`."""
    import pyarrow as pa

    fields = {"episode": pa.int64(), "class_id": pa.int64()}
    fields["query"] = pa.dictionary(pa.int32(), pa.string())
    fields |= {name: pa.int64() for name in COUNTS}
    others = {name: pa.int64() for name in further_counts(METRICS)}
    others |= {"presence": pa.float64(), "milliseconds": pa.float32()}
    return pa.schema(fields | {name: kind for name, kind in others.items() if name in names})


def write_table(
    path: Path, counts: EpisodeCounts, queries: Sequence[str], milliseconds: Milliseconds | None
) -> None:
    """Write the file, whole or not at all; the same values give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"episode": counts.episode, "class_id": counts.class_id}
    columns["query"] = pa.array(queries, pa.string()).dictionary_encode()
    columns |= dict(zip(COUNTS, counts.areas.T, strict=True)) | counts.beside
    if milliseconds is not None:
        columns["milliseconds"] = milliseconds
    table = pa.table(columns, schema=_schema(columns))
    # Integers by their differences take about two thirds of the space.
    encoding = dict.fromkeys(
        ("episode", "class_id", *COUNTS, *counts.further), "DELTA_BINARY_PACKED"
    )
    with whole_file(path) as partial:
        pq.write_table(
            table, partial, compression="zstd", use_dictionary=["query"], column_encoding=encoding
        )


def read_table(path: Path, record: RunRecord) -> EpisodeTable:
    """Read the file that belongs to `record`.

    Raises:
        BenchError: if it is missing or damaged, or does not belong to the record.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    episodes, further = record.setup.episodes.count, further_counts(record.setup.metrics)
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            # Before anything is read: a small file may claim to hold any number of rows.
            # More may be counted than the record names: a table is written before its record.
            if not file.schema_arrow.equals(_schema(names)) or not {*further} <= names:
                raise BenchError(f"{path} does not hold the columns of a result")
            if file.metadata.num_rows != episodes:
                raise BenchError(f"{path} does not hold the {episodes} episodes of its record")
            if unpacked_bytes(file.metadata) > max(_HARMLESS, episodes * _MOST_BYTES):
                raise BenchError(f"{path} unpacks to more than {episodes} episodes can take")
            table = file.read()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise BenchError(f"cannot read {path}: {error}") from None
    if any(c.null_count for c in table.columns):
        raise BenchError(f"{path} does not hold the columns of a result")
    for chunk in table.column("query").chunks:  # a name stands there once, whatever its rows
        if max(pc.utf8_length(chunk.dictionary).to_pylist(), default=0) > _LONGEST_NAME:
            raise BenchError(f"{path} names an image in more than {_LONGEST_NAME:,} characters")
    counts = EpisodeCounts(
        table.column("episode").to_numpy(),
        table.column("class_id").to_numpy(),
        np.stack([table.column(name).to_numpy() for name in COUNTS], axis=1),
        {name: table.column(name).to_numpy() for name in further},
        table.column("presence").to_numpy() if "presence" in names else None,
    )
    if counts.episode.tolist() != list(range(episodes)):
        raise BenchError(f"{path} does not hold the {episodes} episodes of its record")
    known = set(record.setup.dataset.classes)
    pixels = np.column_stack([counts.areas, *counts.further.values()])
    if (pixels < 0).any() or (pixels > MOST_PIXELS).any():
        raise BenchError(f"{path} holds counts below 0 or above those of any image")
    if counts.presence is not None and not np.isfinite(counts.presence).all():
        raise BenchError(f"{path} holds a presence that is not a finite number")
    if not set(counts.class_id.tolist()) <= known:
        raise BenchError(f"{path} holds classes that its record does not name")
    return EpisodeTable(
        counts,
        tuple(table.column("query").to_pylist()),
        table.column("milliseconds").to_numpy() if "milliseconds" in names else None,
    )


def unpacked_bytes(metadata: Any) -> int:
    """What the file says that it unpacks to, by groups of rows or by columns, whichever is more."""
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    in_groups = sum(int(group.total_byte_size) for group in groups)
    return max(in_groups, sum(int(column.total_uncompressed_size) for column in columns))
