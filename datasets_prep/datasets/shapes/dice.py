"""Random draws whose bits are the same on every machine and with every release of numpy."""

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray


class Dice:
    """A generator that only ever asks numpy's frozen stream for uniform numbers in [0, 1).

    Everything else is made of them by single operations, each of them correctly rounded.
    """

    def __init__(self, *seed: int) -> None:
        self._random = RandomState(list(seed))

    def field(self, rows: int, columns: int) -> NDArray[np.float32]:
        """Independent numbers in [0, 1], rounded to single precision: rows×columns."""
        return self._random.random_sample((rows, columns)).astype(np.float32)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(self._random.random_sample())

    def around(self, centre: float, width: float) -> float:
        """A number within `width` of `centre`, near ones more likely."""
        return centre + width * (self.between(0, 1) + self.between(0, 1) - 1)

    def below(self, count: int) -> int:
        """A whole number in 0..count-1."""
        return int(self.between(0, 1) * count)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.between(0, 1) < probability

    def turn(self, steepest: float) -> tuple[float, float]:
        """(cosine, sine) of an angle whose half has a tangent of at most `steepest`."""
        t = self.around(0.0, steepest)
        return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
