"""The rows of a prepared dataset with their images' bytes, cut into shards of about one size."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset

SHARD_BYTES = 500_000_000
_BATCH = 16
_START = 12  # bytes that `suffix` looks at
_PUBLIC = {"val": "validation", "all": "full"}  # `all` means something else to `datasets`


@dataclass(frozen=True)
class Shard:
    """One file of an export.

    Attributes:
        split: as others call it.
        number: among the shards of its split.
        of: how many these are.
        rows: row numbers in the dataset's table.
        bytes: of their images and label maps.
    """

    split: str
    number: int
    of: int
    rows: tuple[int, ...]
    bytes: int

    def name(self, suffix: str) -> str:
        """`train-00000-of-00003.parquet`, by which `datasets` knows the split."""
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}.{suffix}"


def shards(dataset: PreparedDataset, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Every row once, split by split, in stored order; at least one row a shard.

    Raises:
        DatasetError: if an image file is missing.
    """
    bytes_of = sizes(dataset)
    parts: dict[str, list[list[int]]] = {}
    filled: dict[str, int] = {}
    for row, split in enumerate(dataset.table.column("split").to_pylist()):
        own = parts.setdefault(split, [[]])
        if own[-1] and filled[split] + bytes_of[row] > shard_bytes:
            own.append([])
        if not own[-1]:
            filled[split] = 0
        own[-1].append(row)
        filled[split] += bytes_of[row]
    return [
        Shard(
            _PUBLIC.get(split, split),
            number,
            len(own),
            tuple(rows),
            sum(bytes_of[row] for row in rows),
        )
        for split, own in parts.items()
        for number, rows in enumerate(own)
    ]


def sizes(dataset: PreparedDataset) -> list[int]:
    """Bytes of every image's file and label map, in stored order; reads neither."""
    import pyarrow.compute as pc

    images, labels = dataset.table.column("image"), dataset.table.column("label_map")
    stored = _lengths(images) if _embedded(dataset) else None
    if stored is None:
        try:
            stored = [(dataset.root / path).stat().st_size for path in images.to_pylist()]
        except OSError as error:
            raise DatasetError(f"cannot read {error.filename}: {error.strerror}") from None
    maps = pc.fill_null(pc.binary_length(pc.struct_field(labels, "bytes")), 0).to_pylist()
    return [image + label for image, label in zip(stored, maps, strict=True)]


def read_rows(dataset: PreparedDataset, shard: Shard) -> Iterator[dict[str, Any]]:
    """A shard's rows as plain values, `image` and `label_map` as bytes (None without a map).

    Raises:
        DatasetError: if an image file is missing or not as prepared.
    """
    embedded = _embedded(dataset)
    for first, count in _runs(shard.rows):
        for row in dataset.table.slice(first, count).to_pylist():
            image = row["image"]["bytes"] if embedded else _file(dataset, row)
            label_map = row["label_map"] and row["label_map"]["bytes"]
            yield {**row, "image": image, "label_map": label_map}


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Rows that follow each other, as first row and number: gathering others would copy them."""
    start = 0
    for stop in range(1, len(rows) + 1):
        if stop == len(rows) or stop - start == _BATCH or rows[stop] != rows[stop - 1] + 1:
            yield rows[start], stop - start
            start = stop


def suffix(content: bytes) -> str:
    """`jpg`, `png`, ...: the kind of an encoded image.

    Raises:
        DatasetError: if it is none that is known.
    """
    for start, kind in ((b"\xff\xd8", "jpg"), (b"\x89PNG", "png"), (b"BM", "bmp"),
                        (b"II*\0", "tif"), (b"MM\0*", "tif")):  # fmt: skip
        if content.startswith(start):
            return kind
    if content[8:12] == b"WEBP":
        return "webp"
    raise DatasetError(f"an image begins with {content[:8]!r}, which is no known kind of image")


def kinds(dataset: PreparedDataset) -> dict[str, str]:
    """The id of the first image of each kind by `suffix`; reads no more than how images begin.

    Raises:
        DatasetError: if an image file is missing, or of no kind that is known.
    """
    import pyarrow.compute as pc

    images = dataset.table.column("image")
    if _embedded(dataset):
        starts = pc.binary_slice(pc.struct_field(images, "bytes"), 0, _START).to_pylist()
    else:
        starts = (_start(dataset.root / path) for path in images.to_pylist())
    found: dict[str, str] = {}
    for image_id, start in zip(dataset.image_ids, starts, strict=True):
        found.setdefault(suffix(start), image_id)
    return found


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_START)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from None


def _embedded(dataset: PreparedDataset) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(dataset.table.schema.field("image").type))


def _lengths(images: Any) -> list[int]:
    import pyarrow.compute as pc

    lengths: list[int] = pc.binary_length(pc.struct_field(images, "bytes")).to_pylist()
    return lengths


def _file(dataset: PreparedDataset, row: dict[str, Any]) -> bytes:
    path = dataset.root / row["image"]
    try:
        content: bytes = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != row["image_sha256"]:
        raise DatasetError(
            f"{path} is not as prepared; run: bench datasets verify {dataset.name} --full"
        )
    return content
