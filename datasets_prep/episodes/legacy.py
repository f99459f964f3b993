"""The draw that the published samplers share, bit for bit."""

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import RandomState

T = TypeVar("T")

SEED = 0


def choice(random: RandomState, items: Sequence[T]) -> T:
    """What `random.choice(items, 1, replace=False)[0]` gives, without an array of the items.

    It permutes all items, so an index drawn from their number consumes the same stream.
    """
    return items[int(random.choice(len(items), 1, replace=False)[0])]
