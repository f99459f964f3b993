"""Masks that a run keeps of its predictions: a folder of PNGs, or one table of run lengths.

`predictions.parquet` has a row an episode, by number: `episode`, `height` and `width` of the
protocol's grid, and `counts`, COCO's run lengths: column by column, background first. Nothing is
lost, and the same masks give the same bytes. While the run goes on they are lines of
`predictions.jsonl`; a line that a killed process has torn is passed over, for its episode is
measured again.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchError
from benchmarks.results.mask_values import AS_THEY_ARE
from benchmarks.results.table import unpacked_bytes
from datasets_prep.runtime.whole import whole_file, write_whole

Kind = Literal["png", "rle"]
Mask = NDArray[np.bool_]
FOLDER, TABLE, LINES = "predictions", "predictions.parquet", "predictions.jsonl"
_MOST_PIXELS = 2**28  # of a mask
_MOST_BYTES = 2**31  # of a table, unpacked
_LEVEL = 9  # of compression: a seventh smaller than by the usual one, and no slower to read
_OPEN = 4  # tables that are held in memory


def file_name(episode: int) -> str:
    """`000123.png`."""
    return f"{episode:06d}.png"


def line_of(episode: int, mask: Mask) -> bytes:
    """A mask as a line of JSON: episode, size (height, width), and run lengths."""
    flat = mask.T.ravel()
    ends = [*(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    counts = np.diff(ends, prepend=0).tolist()
    body = {
        "episode": episode,
        "size": list(mask.shape),
        "counts": [0, *counts] if flat[0] else counts,
    }
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def mask_of(line: Mapping[str, Any]) -> Mask:
    """The H×W mask of what `line_of` has written, parsed.

    Raises:
        BenchError: if the run lengths do not fill it.
    """
    try:
        height, width = map(int, line["size"])
        counts = np.array(line["counts"], dtype=np.int64).reshape(-1)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BenchError(f"a mask is damaged: {error!r}") from None
    pixels = int(counts.sum()) if counts.min(initial=0) >= 0 else -1
    if min(height, width) < 0 or pixels != height * width or pixels > _MOST_PIXELS:
        raise BenchError(f"the run lengths of a mask do not fill its {width}×{height} pixels")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def keep(folder: Path, masks: Mapping[int, bytes], kind: Kind) -> None:
    """Add masks of a run under way: PNGs, or lines as `line_of` writes them.

    When this returns they outlive this process.
    """
    if kind == "rle":
        with (folder / LINES).open("ab") as file:
            # What comes after a torn line begins a new one.
            file.write(b"\n" + b"".join(masks.values()))
        return
    for number, png in masks.items():
        write_whole(folder / FOLDER / file_name(number), png)


def finish(folder: Path) -> None:
    """Make a table of the lines of a run that is at its end; again after a kill is no harm."""
    lines = folder / LINES
    if not lines.is_file():
        return
    found = _rows(folder / TABLE) if (folder / TABLE).is_file() else {}
    for text in lines.read_bytes().splitlines():
        try:
            line = json.loads(text)
            found[int(line["episode"])] = line
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    _write(folder / TABLE, found.values())
    lines.unlink()


def forget(folder: Path) -> None:
    """Delete what a run kept: masks must not outlive the result that they belong to."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for path in (folder / LINES, folder / TABLE):
        if path.is_file():
            path.unlink()


def gather(parts: Sequence[Path], folder: Path) -> None:
    """Bring what the parts of a run kept to the folder of the whole."""
    rows: dict[int, Mapping[str, Any]] = {}
    for part in parts:
        for png in (part / FOLDER).glob("[0-9]*.png"):
            (folder / FOLDER).mkdir(exist_ok=True)
            shutil.copyfile(png, folder / FOLDER / png.name)
        if (part / TABLE).is_file():
            rows |= _rows(part / TABLE)
    if rows:
        _write(folder / TABLE, rows.values())


def kept_kind(folder: Path) -> Kind | None:
    """How a run's folder keeps masks of it; None if it has none."""
    if (folder / FOLDER).is_dir():
        return "png"
    return "rle" if any((folder / name).is_file() for name in (TABLE, LINES)) else None


def keeps(folder: Path) -> bool:
    """Whether a run's folder has masks of it."""
    return kept_kind(folder) is not None


def read_kept(folder: Path, episode: int) -> Mask | None:
    """The mask that a finished run has of an episode: H×W, on the protocol's grid; None without.

    Raises:
        BenchError: if its file is damaged.
    """
    png, table = folder / FOLDER / file_name(episode), folder / TABLE
    if png.is_file():
        return read_mask(png)
    rows = read_masks(table) if table.is_file() else {}
    return mask_of(rows[episode]) if episode in rows else None


def read_mask(path: Path) -> Mask:
    """A PNG as H×W bool.

    Raises:
        BenchError: naming the file, if it is no single-channel image.
    """
    return AS_THEY_ARE.foreground(AS_THEY_ARE.values(path))


def read_masks(path: Path) -> Mapping[int, Mapping[str, Any]]:
    """The run lengths in a table by episode, each as `mask_of` takes it.

    Raises:
        BenchError: if it is missing or damaged.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from None
    return _held(path, stat.st_mtime_ns, stat.st_size)


def write_masks(path: Path, masks: Iterable[tuple[int, Mask]]) -> None:
    """Write a table of masks, each with its episode, whole or not at all."""
    write_lines(path, (line_of(episode, mask) for episode, mask in masks))


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """The same of lines as `line_of` writes them."""
    _write(path, map(json.loads, lines))


@lru_cache(_OPEN)
def _held(path: Path, _changed: int, _size: int) -> Mapping[int, Mapping[str, Any]]:
    return _rows(path)


def _rows(path: Path) -> dict[int, Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            # Before anything is read: a small file may claim to hold any number of rows.
            if not file.schema_arrow.equals(_schema()):
                raise BenchError(f"{path} does not hold the columns of predictions")
            if unpacked_bytes(file.metadata) > _MOST_BYTES:
                raise BenchError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes")
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise BenchError(f"cannot read {path}: {error}") from None
    if any(column.null_count for column in table.columns):
        raise BenchError(f"{path} does not hold the columns of predictions")
    numbers, heights, widths = (
        table.column(name).to_pylist() for name in ("episode", "height", "width")
    )
    rows: dict[int, Mapping[str, Any]] = {
        number: {"episode": number, "size": [height, width], "counts": counts}
        for number, height, width, counts in zip(
            numbers, heights, widths, _lists(table.column("counts")), strict=True
        )
    }
    if len(rows) != len(numbers):
        raise BenchError(f"{path} holds an episode twice")
    return rows


def _lists(column: Any) -> Iterator[NDArray[np.int32]]:
    """The lists of a column as views of its numbers: no objects are made of them."""
    for chunk in column.chunks:
        values, offsets = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            yield values[start:end]


def _schema() -> Any:
    import pyarrow as pa

    fields = {"episode": pa.int64(), "height": pa.int32(), "width": pa.int32()}
    return pa.schema(fields | {"counts": pa.list_(pa.int32())})


def _write(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(lines, key=lambda line: int(line["episode"]))
    columns = {
        "episode": [line["episode"] for line in rows],
        "height": [line["size"][0] for line in rows],
        "width": [line["size"][1] for line in rows],
        "counts": [line["counts"] for line in rows],
    }
    with whole_file(path) as partial:
        pq.write_table(
            pa.table(columns, schema=_schema()),
            partial,
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=False,
        )
