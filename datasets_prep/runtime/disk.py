"""Room on the disk, and one lock for each thing that is made on it."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

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


_LONGEST = 200  # bytes of a name that still takes an ending


def hidden(path: Path, ending: str) -> Path:
    """`.NAME.ENDING` beside a path; of a name near the longest that there are, its hash."""
    name = path.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return path.with_name(f".{name}.{ending}")


_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def acquired(path: Path, *, wait: bool = False) -> "AcquireReturnProxy[FileLock]":
    """The lock that a file is, held until a `with` of it ends.

    Args:
        path: the file.
        wait: until whoever holds it lets it go.

    Raises:
        Timeout: if another process holds it.
        DatasetError: if the file system has no locks.
    """
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        why = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"{path}: this file system has no locks ({why}), and without them two processes would "
            f"write over each other; put it on a local disk: --data-root (BENCH_DATA), "
            f"--results-root (BENCH_RESULTS), or HF_HOME and TORCH_HOME for weights"
        ) from None


@contextmanager
def locked(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the one lock of `target`; says so when another process holds it."""
    path = target.with_name(f"{target.name}.lock")
    try:
        held = acquired(path)
    except Timeout:
        progress.note(f"another process is making {target.name}; waiting for it")
        held = acquired(path, wait=True)
    with held:
        yield
