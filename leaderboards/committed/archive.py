"""Results in one small file, to send: records, counts, and masks where wished.

A zip with `results/<key>.json` and `.parquet` as they are committed, and `masks/<key>.jsonl` with
a line an episode: the mask on the protocol's grid as COCO's run lengths, as runs keep them. There
are no paths and no host names in it; the same results give the same bytes.
"""

import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks import BenchError, Mask, Result, RunKey, line_of, whole_file
from leaderboards.committed.files import find_committed, read_committed, write_committed

SUFFIX = ".zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MOST = {".json": 2**22, ".parquet": 2**27, ".jsonl": 2**29}  # bytes unpacked
_MOST_FILES = 10_000
_DAMAGE = (  # what zipfile and json raise of a file that somebody else made
    OSError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError,
    RuntimeError, ValueError, KeyError, TypeError, AttributeError,
)  # fmt: skip


@dataclass(frozen=True)
class Archive:
    """What was sent.

    Attributes:
        results: all of it.
        masks: run lengths of the masks by run and episode, where they were sent too.
    """

    results: tuple[Result, ...]
    masks: Mapping[RunKey, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)


def pack(
    results: Sequence[Result], path: Path, mask: Callable[[RunKey, int], Mask] | None = None
) -> None:
    """Write an archive, whole or not at all.

    Args:
        results: what to send.
        path: where to.
        mask: gives the mask of an episode, where masks shall be sent too.

    Raises:
        BenchError: if it cannot be written, or a mask is not there.
    """
    try:
        with tempfile.TemporaryDirectory() as scratch, whole_file(path) as partial:
            root = Path(scratch)
            for result in results:
                write_committed(root / "results", result)
                if mask is not None:
                    numbers = result.counts.episode.tolist()
                    own = root / "masks" / f"{result.key}.jsonl"
                    own.parent.mkdir(parents=True, exist_ok=True)
                    own.write_bytes(b"".join(line_of(n, mask(result.key, n)) for n in numbers))
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
                for source in sorted(own for own in root.rglob("*") if own.is_file()):
                    info = zipfile.ZipInfo(source.relative_to(root).as_posix(), _EPOCH)
                    info.compress_type = zipfile.ZIP_DEFLATED
                    file.writestr(info, source.read_bytes())
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from None


def read_archive(path: Path) -> Archive:
    """Read what `pack` wrote; nothing else is unpacked.

    Raises:
        BenchError: naming the file, if it is damaged, holds anything else, or is too large.
    """
    try:
        with zipfile.ZipFile(path) as file, tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            for info in _members(file, path):
                target = root / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_bounded(file, info, path))
            keys = find_committed(root / "results")
            try:
                results = tuple(read_committed(root / "results", key) for key in keys)
            except BenchError as error:  # which names a file that nobody will find
                raise BenchError(f"{path}: {str(error).replace(f'{root}/', '')}") from None
            masks = {
                key: {line["episode"]: line for line in map(json.loads, own.open())}
                for key in keys
                if (own := root / "masks" / f"{key}.jsonl").is_file()
            }
    except _DAMAGE as error:
        raise BenchError(f"{path} is not an archive of bench results pack: {error}") from None
    if not results:
        raise BenchError(f"{path} holds no result")
    return Archive(results, masks)


def _members(file: zipfile.ZipFile, path: Path) -> Iterator[zipfile.ZipInfo]:
    seen: set[str] = set()
    for info in file.infolist():
        name = PurePosixPath(info.filename)
        folder, inside = "".join(name.parts[:1]), PurePosixPath(*name.parts[1:])
        suffixes = {"results": (".json", ".parquet"), "masks": (".jsonl",)}.get(folder, ())
        key = RunKey.parse(inside.with_suffix("").as_posix()) if inside.parts else None
        known = key is not None and inside.suffix in suffixes and ".." not in name.parts
        if not known or info.filename in seen or len(seen) >= _MOST_FILES:
            raise BenchError(
                f"{path} holds {info.filename!r}, which bench results pack never writes"
            )
        seen.add(info.filename)
        yield info


def _bounded(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    most = _MOST[PurePosixPath(info.filename).suffix]
    with file.open(info) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise BenchError(f"{path}: {info.filename} unpacks to more than {most:,} bytes")
    return content
