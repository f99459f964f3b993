"""Weights under their authors' names, for networks of the transformers library."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Original:
    """How the authors' files of a network are known and read.

    Attributes:
        files: what such files are called, for messages.
        marker: a tensor that only they have.
        read: a file's tensors and name to the network's configuration and tensors, whose sizes it
            takes from the shapes; raises KeyError, ValueError or IndexError where they lack some.
    """

    files: str
    marker: str
    read: Callable[[Mapping[str, Tensor], str], tuple[Any, State]]


def renamed(tensors: Mapping[str, Tensor], table: Iterable[tuple[str, str | None]]) -> State:
    """Tensors under other names.

    Args:
        tensors: as they are called.
        table: patterns and replacements as of `re.sub`, applied in order; None drops a tensor. A
            replacement with alternatives in braces, as "{q,k,v}_proj", cuts a tensor into so many
            equal parts along its first dimension.
    """
    result: State = {}
    for name, tensor in tensors.items():
        new: str | None = name
        for pattern, replacement in table:
            if new is None or re.search(pattern, new) is None:
                continue
            new = None if replacement is None else re.sub(pattern, replacement, new)
        if new is None:
            continue
        parts = re.fullmatch(r"(.*)\{(.*)\}(.*)", new)
        if parts is None:
            result[new] = tensor
            continue
        names = parts[2].split(",")
        for part, piece in zip(names, tensor.chunk(len(names)), strict=True):
            result[f"{parts[1]}{part}{parts[3]}"] = piece.clone()
    return result


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers the pattern's group takes in the tensors' names."""
    return len({match[1] for name in tensors if (match := re.search(pattern, name))})
