"""Sizes and hashes of large files, and the stamp that spares hashing them at each start."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets_prep.runtime.progress import SILENT, Progress
from datasets_prep.runtime.whole import write_whole

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Checksum:
    """What is known of a file's content; None where it is not known.

    Attributes:
        size: bytes.
        sha256: 64 lower-case hexadecimal digits.
        md5: 32 lower-case hexadecimal digits.
    """

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether a hash is known, so that it can judge a file from anywhere."""
        return self.sha256 is not None or self.md5 is not None

    def complaint(self, actual: "Checksum") -> str | None:
        """How `actual` differs from what is known here, naming both sides; None if it does not."""
        wrong = [
            f"{kind} is {found}, expected {wanted}"
            for kind, wanted in asdict(self).items()
            if wanted is not None and (found := getattr(actual, kind)) != wanted
        ]
        return "; ".join(wrong) or None

    def describe(self) -> str:
        """The known parts in one line, for messages."""
        size = "size unknown" if self.size is None else f"{self.size:,} bytes"
        hashes = [f"{kind} {h}" for kind in ("sha256", "md5") if (h := getattr(self, kind))]
        return ", ".join([size, *hashes])


def hash_file(path: Path, *, md5: bool = False, progress: Progress = SILENT) -> Checksum:
    """Size and sha256 of a file, and its md5 where that is asked for."""
    hashes = [hashlib.sha256()]
    if md5:
        hashes.append(hashlib.md5(usedforsecurity=False))
    done, total, label = 0, path.stat().st_size, f"checking {path.name.removesuffix('.part')}"
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            for each in hashes:
                each.update(chunk)
            done += len(chunk)
            progress.update(label, done, total)
    return Checksum(done, *(each.hexdigest() for each in hashes))


def stamp_path(folder: Path, name: str) -> Path:
    """Where the stamp of the file called `name` lies."""
    return folder / f"{name}.verified.json"


def recorded(stamp: Path) -> Checksum | None:
    """The content that a stamp vouches for, whatever has become of the file since."""
    entry = _read(stamp)
    return None if entry is None else Checksum(entry["size"], entry["sha256"], entry["md5"])


def verify(
    path: Path,
    stamp: Path,
    expected: Checksum,
    *,
    progress: Progress = SILENT,
) -> str | None:
    """Check a file against what is known of it and stamp it.

    A stamp of the same path, size and modification time stands in for hashing the file again.

    Returns:
        None if the file is right, else how it differs, naming both sides.
    """
    size = path.stat().st_size
    if expected.size not in (None, size):
        return f"size is {size}, expected {expected.size}"
    entry = _read(stamp)
    if entry is not None and entry["file"] == _identity(path, stamp):
        actual = Checksum(entry["size"], entry["sha256"], entry["md5"])
        if expected.complaint(actual) is None:
            return None
    actual = hash_file(path, md5=expected.md5 is not None, progress=progress)
    complaint = expected.complaint(actual)
    if complaint is None:
        write_stamp(path, stamp, actual)
    return complaint


def write_stamp(path: Path, stamp: Path, actual: Checksum) -> None:
    """Record that `path`, as it lies there now, has this content."""
    write_json(stamp, {**asdict(actual), "file": _identity(path, stamp)})


def write_json(path: Path, value: object) -> None:
    """Write a small JSON file so that a reader sees the old or the new one, never a torn one."""
    write_whole(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def _identity(path: Path, stamp: Path) -> list[str | int]:
    """What changes when a file is replaced; a file beside its stamp may move with it."""
    beside = path.parent.resolve() == stamp.parent.resolve()
    status = path.stat()
    return [path.name if beside else str(path.resolve()), status.st_size, status.st_mtime_ns]


def _read(stamp: Path) -> dict[str, Any] | None:
    try:
        entry = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    keys = {"size", "sha256", "md5", "file"}
    return entry if isinstance(entry, dict) and keys <= entry.keys() else None
