"""Unpack archives from strangers: whole or not at all, and nothing outside the target."""

import json
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from datasets_prep.archives.checksums import hash_file, write_json
from datasets_prep.archives.members import Limits, unpack
from datasets_prep.errors import DatasetError
from datasets_prep.runtime.disk import ensure_space, locked
from datasets_prep.runtime.progress import SILENT, Progress

STAMP = ".extracted.json"
_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def extract(
    archive: Path,
    target_dir: Path,
    *,
    sha256: str | None = None,
    max_size: int = 64 << 30,
    max_files: int = 1_000_000,
    max_ratio: int = 200,
    progress: Progress = SILENT,
) -> Path:
    """Unpack a tar, tar.gz or zip beside `target_dir` and move it there when it is complete.

    A stamp inside the folder says what it was made of: a folder with the right stamp is returned
    as it is, one with another stamp is replaced, and one with files but no stamp is refused, for
    it may be anybody's.

    Args:
        archive: the file; its kind is told by its first bytes.
        target_dir: the folder to make.
        sha256: the archive's hash where it is known already; computed otherwise.
        max_size: bytes that the unpacked files may take together.
        max_files: number of distinct files and folders.
        max_ratio: unpacked bytes for each byte of the archive, beyond the first 16 MiB.
        progress: hears of the archive's bytes.

    Returns:
        `target_dir`.

    Raises:
        DatasetError: the archive is missing, damaged or too large, or holds a link, a device, an
            absolute or `..` path, or two names that are one on some file system; or the disk is
            full. Nothing is left behind then.
    """
    if not archive.is_file():
        raise DatasetError(f"{archive}: no such archive")
    known = sha256 or str(hash_file(archive, progress=progress).sha256)
    if is_extracted(target_dir, known):
        return target_dir
    target_dir.parent.mkdir(parents=True, exist_ok=True)
    with locked(target_dir, progress):
        if is_extracted(target_dir, known):
            return target_dir
        _refuse_foreign(target_dir, archive)
        ensure_space(target_dir.parent, archive.stat().st_size)
        fresh = target_dir.with_name(f".{target_dir.name}.extracting")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            limits = Limits(max_size, max_files, max_ratio)
            size = unpack(archive, fresh, limits, reserved={STAMP}, progress=progress)
            stamp = {"archive": archive.name, "sha256": known, "unpacked_bytes": size}
            write_json(fresh / STAMP, stamp)
            if target_dir.exists():
                shutil.rmtree(target_dir)
            fresh.replace(target_dir)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target_dir


def is_extracted(target_dir: Path, sha256: str) -> bool:
    """Whether `extract` has completed this folder from the archive of this hash."""
    try:
        stamp = json.loads((target_dir / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stamp, dict) and stamp.get("sha256") == sha256


def freeze(path: Path) -> None:
    """Take the write permission from a file, or from all files below a folder.

    Folders stay writable, so that data can still be deleted and completed. Locks and unfinished
    downloads are left alone, and so are files that belong to somebody else.
    """
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink() and file.suffix not in {".lock", ".part"}:
            with suppress(PermissionError):
                file.chmod(stat.S_IMODE(file.stat().st_mode) & ~_WRITE_BITS)


def _refuse_foreign(target_dir: Path, archive: Path) -> None:
    """Raise unless `target_dir` is missing, empty, or of our own making."""
    if target_dir.is_dir():
        foreign = not (target_dir / STAMP).exists() and any(target_dir.iterdir())
    else:
        foreign = target_dir.exists()
    if foreign:
        raise DatasetError(
            f"{target_dir} exists but is no complete extraction of {archive.name}: "
            "remove it, or give it with `--from`"
        )
