"""What the training loop asks of that which it trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn


@dataclass(frozen=True)
class Validation:
    """How good a stage has become.

    Attributes:
        score: larger is better; decides which checkpoint is the best.
        name: of the score, such as "mIoU".
    """

    score: float
    name: str


class Stage(Protocol):
    """One stage of a training.

    Every process draws the same samples of a step and takes its share, so that the number of
    processes changes nothing but the order of sums.

    Attributes:
        objective: called with what `collate` returns, gives the mean loss over its samples; its
            parameters that require gradients are trained.
        frozen: what the methods compute with beside it; the loop moves it to its device too.
    """

    objective: nn.Module
    frozen: Sequence[nn.Module]

    def describe(self) -> Mapping[str, object]:
        """What the result depends on beside the `TrainConfig`: a resumed run must have the same."""

    def draw(self, step: int, count: int) -> Sequence[Any]:
        """The `count` samples of one step, drawn from a generator of (seed, step)."""

    def prefetch(self, samples: Sequence[Any]) -> None:
        """Begin to read what `collate` is asked for in the next step."""

    def collate(self, samples: Sequence[Any]) -> Any:
        """Tensors of some samples, by name or in a tuple, on the CPU or the objective's device."""

    def save(self, folder: Path) -> None:
        """Write the checkpoint as inference opens it."""

    def validate(self, pictures: Path) -> Validation | None:
        """Score the weights as they are, and leave a picture; None if there is no score."""
