"""What differs between two runs that have to be one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError


def check_same(folder: Path, before: Any, now: Any) -> None:
    """Compare what fixed a run's counts at its beginning, as JSON, with that of now.

    Raises:
        BenchError: naming the first field that differs, with both values.
    """
    for name, old, new in differences(before, now):
        raise BenchError(
            f"{folder} was begun with {name} = {old!r}, now it is {new!r}; "
            f"go back to the first, or start again with --fresh"
        )


def differences(a: Any, b: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The name and both values of every field in which two JSON values differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(a.get(key), b.get(key), f"{name}.{key}".lstrip("."))
    elif a != b:
        yield name, a, b
