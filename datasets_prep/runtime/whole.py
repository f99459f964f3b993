"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets_prep.runtime.disk import hidden


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; what was written then takes its name, unless it failed.

    So a reader sees the old file or the new one, never a torn one, also where several processes
    write it. The folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = hidden(path, str(os.getpid()))
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write bytes, or text as UTF-8, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
