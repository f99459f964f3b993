"""One shard of an export as a file: Parquet, or a tar of WebDataset samples.

Both are what `datasets.load_dataset` opens without this suite, and both have equal bytes for
equal rows.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.export.rows import suffix
from datasets_prep.prepared.records import columns

Row = Mapping[str, Any]
_GROUP_ROWS, _GROUP_BYTES = 100, 100_000_000
_ABOUT = ("image_id", "width", "height", "split")


def write_parquet(path: Path, rows: Iterable[Row], first: int) -> None:
    """Write the columns of `records.columns`, with images and label maps as bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = columns(embedded=True).arrow_schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _row_groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema))


def _row_groups(rows: Iterable[Row]) -> Iterator[list[dict[str, Any]]]:
    """Rows as the table has them, a hundred at a time, or fewer where images are large."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        images = {
            key: row[key] and {"bytes": row[key], "path": None} for key in ("image", "label_map")
        }
        group.append({**row, **images})
        size += len(row["image"])
        if len(group) == _GROUP_ROWS or size > _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def write_webdataset(path: Path, rows: Iterable[Row], first: int) -> None:
    """Write samples `KEY.jpg`, `KEY.json` and `KEY.label_map.png` or `KEY.masks.json`.

    Keys are numbers from `first` on: an image id may hold dots and slashes, which mean something
    in a sample's name.
    """
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, row in enumerate(rows, first):
            for ending, content in _sample(row).items():
                _add(archive, f"{number:09d}.{ending}", content)


def _sample(row: Row) -> dict[str, bytes]:
    sample = {suffix(row["image"]): row["image"]}
    if row["label_map"] is not None:
        sample["label_map.png"] = row["label_map"]
    else:
        size = [row["height"], row["width"]]
        sample["masks.json"] = _json(
            [
                {"class": mask["class"], "size": size, "counts": mask["counts"].decode("ascii")}
                for mask in row["masks"]
            ]
        )
    return {**sample, "json": _json({key: row[key] for key in _ABOUT})}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # owner, mode and time are the same on every machine
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


WRITERS: Mapping[str, tuple[str, Callable[[Path, Iterable[Row], int], None]]] = {
    "parquet": ("parquet", write_parquet),
    "webdataset": ("tar", write_webdataset),
}
