"""What differs between two runs that have to be one, or of which a mean is taken."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from benchmarks.errors import BenchError
from benchmarks.results.records import Setup

_FILE = re.compile(r"[/\\]|\.[A-Za-z]|fold")  # of a folder its last part may be left


def check_same(folder: Path, before: Any, now: Any) -> None:
    """Compare what fixed a run's counts at its beginning, as JSON, with that of now.

    Raises:
        BenchError: naming the first field that differs, with both values.
    """
    for name, old, new in differences(before, now):
        raise BenchError(
            f"{folder} was begun with {name} = {old!r}, now it is {new!r}; "
            "go back to the first, keep both with another --name, or start again with --fresh"
        )


def differences(a: Any, b: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The name and both values of every field in which two JSON values differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(a.get(key), b.get(key), f"{name}.{key}".lstrip("."))
    elif a != b:
        yield name, a, b


def other_option(a: Setup, b: Setup) -> str | None:
    """The first option of the model in which two folds of one row differ, with both values.

    Each fold may have files of its own: any where its weights were trained for it, and otherwise
    those that are named by its number, as `{fold}` fills it in. What was trained for it and is
    named by it need not look like a file. Masks of another program are each fold's own.
    """
    trained = a.model.trained_fold == a.fold and b.model.trained_fold == b.fold
    here, there = (without_paths(setup.model.config) for setup in (a, b))
    for name, mine, others in differences(here, there):
        own = isinstance(mine, str) and isinstance(others, str)
        files = own and bool(_FILE.search(mine) and _FILE.search(others))
        same = own and by_fold(mine, a.fold) == by_fold(others, b.fold)
        if trained + files + same < 2 and name != "predictions_sha256":
            return f"{name} = {mine!r} on fold {a.fold}, {others!r} on fold {b.fold}"
    return None


def by_fold(value: str, fold: int) -> str:
    """The value with `{fold}` for the fold's number, wherever that stands in it."""
    return re.sub(rf"(?<!\d){fold}(?!\d)", "{fold}", value)


def without_paths(value: object) -> object:
    """The value with every absolute path in it cut down to its last part."""
    if isinstance(value, dict):
        return {key: without_paths(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(own) for own in value]
    if isinstance(value, str):
        for flavour in (PurePosixPath, PureWindowsPath):
            path = flavour(value)
            if path.is_absolute() or value.startswith("~"):
                return path.name
    return value
