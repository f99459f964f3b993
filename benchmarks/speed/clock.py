"""Times of a segmenter's calls, by stage."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from models.segmenter import Segmenter

T = TypeVar("T")

_CALLS = {
    "encode_image": "encode_image",
    "encode_support": "encode_support",
    "segment": "segment",
}


class Clock:
    """Seconds and items of every call, by stage; waits for the device before it looks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._calls: dict[str, list[tuple[float, int]]] = {}

    def now(self) -> float:
        """Seconds, after all work given to the device."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def timed(self, stage: str, call: Callable[..., T]) -> Callable[..., T]:
        """`call`, noting its time; its first argument's length is the number of items."""

        def wrapped(*args: Any, **kwargs: Any) -> T:
            begin = self.now()
            result = call(*args, **kwargs)
            self._calls.setdefault(stage, []).append((self.now() - begin, len(args[0])))
            return result

        return wrapped

    @contextmanager
    def watching(self, model: Segmenter) -> Iterator[None]:
        """Within, the calls of `model` are timed: the contract's, and those that it names itself.

        A model may say in `stages` which methods make up its calls, by the stage's name.
        """
        stages = {**_CALLS, **getattr(model, "stages", {})}
        for stage, method in stages.items():
            setattr(model, method, self.timed(stage, getattr(model, method)))
        try:
            yield
        finally:
            for method in stages.values():
                delattr(model, method)

    def medians(self) -> dict[str, float]:
        """Median seconds an item, by stage."""
        return {
            stage: statistics.median(seconds / items for seconds, items in calls)
            for stage, calls in self._calls.items()
        }

    def items(self, stage: str) -> int:
        """Items that went through a stage."""
        return sum(items for _, items in self._calls.get(stage, []))
