"""What goes into one call of a model's encoder: inputs of one size, always as many."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def chunks(
    items: Iterable[Item], size: Callable[[Item], object], most: int
) -> Iterator[list[Item]]:
    """Neighbours of equal size, at most so many together."""
    for _, group in groupby(items, key=size):
        same = list(group)
        for start in range(0, len(same), most):
            yield same[start : start + most]


def filled(items: Any, count: int) -> Any:
    """A tensor or list filled up with copies of its last item; other sizes may round otherwise."""
    short = count - len(items)
    if short == 0:
        return items
    if isinstance(items, Tensor):
        return torch.cat([items, items[-1:].expand(short, *items.shape[1:])])
    return [*items, *[items[-1]] * short]
