"""Names to things, resolved lazily; an unknown name answers with the nearest ones."""

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import ModelError


class Registry(Mapping[str, Any]):
    """A read-only table `name -> "module:attribute"` that imports on access.

    Args:
        kind: what the names are, for messages ("model", "dataset", ...).
        targets: the table.
        error: the exception raised for an unknown name.
    """

    def __init__(
        self, kind: str, targets: Mapping[str, str], error: type[Exception] = ModelError
    ) -> None:
        self._kind = kind
        self._targets = dict(targets)
        self._error = error

    def __getitem__(self, name: str) -> Any:
        if name not in self._targets:
            raise self._error(unknown(self._kind, name, self._targets))
        module, attribute = self._targets[name].split(":")
        return getattr(importlib.import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self._targets


def unknown(kind: str, name: str, known: Mapping[str, Any] | list[str]) -> str:
    """The message for an unknown `name`: the nearest known names, or all of them."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {name!r}; did you mean {' or '.join(near)}?"
    return f"unknown {kind} {name!r}; known are: {', '.join(known)}"
