"""Room on the disk, and one lock for each thing that is made on it."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from datasets_prep.errors import DatasetError
from datasets_prep.runtime.progress import Progress


def ensure_space(folder: Path, needed: int) -> None:
    """Raise DatasetError unless the disk of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"{needed:,} bytes are needed in {folder}, whose disk has {free:,} free: "
            "free some, or put the data elsewhere (BENCH_DATA)"
        )


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Make what writing to a full disk raises a DatasetError that names the file, or `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        place = error.filename2 or error.filename or folder
        raise DatasetError(
            f"{place} cannot be written: {os.strerror(error.errno)}; "
            "free some space, or put the data elsewhere (BENCH_DATA)"
        ) from error


@contextmanager
def locked(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the one lock of `target`; says so when another process holds it."""
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note(f"another process is making {target.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
