"""Read the members of a tar, tar.gz or zip one by one, and write only what is harmless."""

import gzip
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from datasets_prep.errors import DatasetError
from datasets_prep.runtime.progress import Progress

# What the standard library raises over a damaged archive.
_DAMAGE = (
    EOFError,
    MemoryError,  # a damaged size field may ask for any buffer
    NotImplementedError,  # an unknown method of packing
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
_CHUNK = 1 << 20
# Below this size no ratio can do harm, and blank label maps pack very well.
_HARMLESS = 16 << 20
# Names and the like; above `_CHUNK`, in which content is read.
_LARGEST_HEADER = 4 << 20
_LARGEST_CONTENT = 64 << 30


class _UnsafeError(Exception):
    """The archive holds what no data set needs."""


class _TooMuchError(_UnsafeError):
    """It may be a bomb."""

    def __init__(self, most: int) -> None:
        super().__init__(f"unpacks to more than the {most:,} bytes allowed")


@dataclass(frozen=True)
class Limits:
    """Bytes, number of names, and unpacked bytes for each byte of the archive."""

    size: int
    files: int
    ratio: int


_Content = Callable[[], IO[bytes] | None]


@dataclass(frozen=True)
class _Entry:
    """One member: its name, what speaks against it, and its content (None: a folder)."""

    name: str
    refusal: str | None
    content: _Content | None


def unpack(
    archive: Path,
    folder: Path,
    limits: Limits,
    *,
    reserved: Collection[str],
    progress: Progress,
) -> int:
    """Write an archive's files below `folder`, an empty one, and return their bytes.

    Args:
        archive: a tar, tar.gz or zip.
        folder: where to write; half a job may be left in it after an error.
        limits: beyond which the archive is refused.
        reserved: names that the archive may not use.
        progress: hears of the archive's bytes.

    Raises:
        DatasetError: a member or the whole is refused, the archive is damaged, or a file cannot
            be written.
    """
    total = archive.stat().st_size
    stream = max(_HARMLESS, limits.ratio * total)
    most = min(limits.size, stream)
    names = _Names(limits.files, reserved)
    written = 0
    try:
        with archive.open("rb") as raw:
            for path, content in _accepted(_entries(raw, stream), names):
                with _created(folder / path) as out:
                    for chunk in _chunks(content):
                        written += len(chunk)
                        if written > most:
                            raise _TooMuchError(most)
                        out.write(chunk)
                        progress.update(f"unpacking {archive.name}", raw.tell(), total)
    except _UnsafeError as error:
        raise DatasetError(f"{archive}: {error}; nothing was unpacked") from error
    except _DAMAGE as error:
        raise DatasetError(
            f"{archive} cannot be unpacked, it may be truncated or damaged: remove it and get it "
            f"again ({type(error).__name__}: {error})"
        ) from error
    return written


def damage(archive: Path) -> str | None:
    """Why an archive cannot be read to its end; None if it can, or is refused for another reason.

    Args:
        archive: a tar, tar.gz or zip.
    """
    try:
        with archive.open("rb") as raw:
            for entry in _entries(raw, _LARGEST_CONTENT):
                if entry.content and not entry.refusal:
                    deque(_chunks(entry.content), maxlen=0)
    except _UnsafeError:
        return None
    except _DAMAGE as error:
        return f"{type(error).__name__}: {error}"
    return None


def _accepted(
    entries: Iterator[_Entry], names: "_Names"
) -> Iterator[tuple[PurePosixPath, _Content]]:
    """Path and content of each file; folders come into being with their files."""
    for entry in entries:
        if entry.refusal:
            raise _UnsafeError(f"{entry.name!r} {entry.refusal}")
        path = names.claim(entry.name, folder=entry.content is None)
        if entry.content is not None:
            yield path, entry.content


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    """A new file to write; tells trouble with the disk from trouble with the archive."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            yield out
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error}") from error


class _Names:
    """The paths taken so far, so that no two are one on any file system."""

    def __init__(self, most: int, reserved: Collection[str]) -> None:
        self.most = most
        self.taken = {name: (name, False) for name in reserved}

    def claim(self, name: str, *, folder: bool) -> PurePosixPath:
        """A relative path that is safe and new."""
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            raise _UnsafeError(f"{name!r} is an absolute path")
        parts = PurePosixPath(name).parts
        if ".." in parts or "\\" in name or "\0" in name or not (parts or folder):
            raise _UnsafeError(f"{name!r} is no plain relative path")
        for depth in range(1, len(parts) + 1):
            path, is_folder = "/".join(parts[:depth]), folder or depth < len(parts)
            # As case-insensitive and Unicode-normalising file systems compare names.
            key = unicodedata.normalize("NFC", path.casefold())
            known = self.taken.get(key)
            if known is None:
                self.taken[key] = (path, is_folder)
            elif known[0] != path:
                raise _UnsafeError(f"{known[0]!r} and {path!r} are one name on some file systems")
            elif not (known[1] and is_folder):
                raise _UnsafeError(f"{path!r} is named twice")
        if len(self.taken) > self.most:
            raise _UnsafeError(f"holds more than the {self.most:,} names allowed")
        return PurePosixPath(*parts)


def _entries(raw: IO[bytes], most: int) -> Iterator[_Entry]:
    """The members in the order of the archive, whose kind is told by its first bytes.

    To come to the next member of a tar.gz, what lies between is unpacked too: `most` bytes in all.
    """
    magic = raw.read(4)
    raw.seek(0)
    if magic in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _zip_entries(raw)
    elif magic[:2] == b"\x1f\x8b":
        with gzip.open(raw) as stream:
            yield from _tar_entries(stream, most)
    else:
        yield from _tar_entries(raw, None)


def _zip_entries(raw: IO[bytes]) -> Iterator[_Entry]:
    with zipfile.ZipFile(raw) as bundle:
        for info in bundle.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            refusal = None
            if kind == stat.S_IFLNK:
                refusal = "is a link"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refusal = "is a device"
            elif info.flag_bits & 1:
                refusal = "is encrypted"
            # Not `is_dir`, which a file without a name makes fail.
            folder = info.filename.endswith("/")
            content = None if folder else partial(bundle.open, info)
            yield _Entry(info.orig_filename, refusal, content)


class _Sips:
    """A stream that gives no large piece at once: the header of a tar may ask for any size.

    Nor does it go beyond `most` bytes, where there is such an end.
    """

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, most: int | None) -> None:
        self.tell, self._stream, self._most = stream.tell, stream, most

    def seek(self, position: int) -> int:
        if self._most is not None and position > self._most:
            raise _TooMuchError(self._most)
        return self._stream.seek(position)

    def read(self, size: int) -> bytes:
        if size > _LARGEST_HEADER:
            raise _UnsafeError(f"has a header of {size:,} bytes")
        return self._stream.read(size)


def _tar_entries(stream: IO[bytes] | gzip.GzipFile, most: int | None) -> Iterator[_Entry]:
    with tarfile.open(fileobj=cast(IO[bytes], _Sips(stream, most)), mode="r:") as tar:
        while (member := tar.next()) is not None:
            refusal = None
            if member.issym() or member.islnk():
                refusal = "is a link"
            elif not (member.isdir() or member.isreg()) or member.issparse():
                refusal = "is a device or the like"
            content = None if member.isdir() else partial(tar.extractfile, member)
            yield _Entry(member.name, refusal, content)
        end = tar.offset + tarfile.BLOCKSIZE
    # `tarfile` takes a torn archive, or a spoilt header, for the end; a real end is all zeros.
    # Reading on also makes gzip compare its own checksum.
    if stream.tell() < end:
        raise EOFError("the end is missing")
    padding = 0
    while chunk := stream.read(_CHUNK):
        padding += len(chunk)
        if chunk != bytes(len(chunk)):
            raise EOFError("the end is not where it should be")
        if padding > _HARMLESS:
            raise _UnsafeError("ends in endless padding")


def _chunks(content: _Content) -> Iterator[bytes]:
    source = content()
    if source is None:
        raise EOFError("a file without content")
    with source:
        while chunk := source.read(_CHUNK):
            yield chunk
