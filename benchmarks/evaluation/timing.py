"""Where the time of a batch goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from benchmarks.results.records import StagesRecord

Stage = Literal["load", "encode_images", "encode_supports", "segment", "score"]


class Stages:
    """Adds up the seconds of each stage of one batch.

    A GPU works on while the program goes ahead: what a model does there is timed by the GPU's own
    clock, and scoring, which reads its results, waits for it first.

    Args:
        device: where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds: dict[str, float] = {}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Time what is done within."""
        if self._cuda and stage not in ("load", "score"):
            begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            begin.record()
            yield
            end.record()
            self._events.append((stage, begin, end))
            return
        if self._cuda and stage == "score":
            torch.cuda.synchronize()
        tick = time.perf_counter()
        yield
        self._add(stage, time.perf_counter() - tick)

    def _add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def record(self) -> StagesRecord:
        """All seconds so far."""
        for stage, begin, end in self._events:
            end.synchronize()
            self._add(stage, begin.elapsed_time(end) / 1000)
        self._events.clear()
        return StagesRecord(**self._seconds)
