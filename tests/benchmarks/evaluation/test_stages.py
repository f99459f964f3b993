"""Where time goes: the clock's seconds on a processor, the GPU's own on a GPU."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks.evaluation.timing import Stages
from benchmarks.results.records import StagesRecord


class Event:
    """A GPU's event; the GPU is a second further with each that is recorded."""

    reached = 0.0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.at: float | None = None
        self.waited = False

    def record(self) -> None:
        Event.reached += 1
        self.at = Event.reached

    def synchronize(self) -> None:
        self.waited = True

    def elapsed_time(self, other: "Event") -> float:
        assert other.waited and self.at is not None and other.at is not None
        return 1000 * (other.at - self.at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is ten seconds further each time it is read."""
    ticks: Iterator[float] = iter(range(0, 1000, 10))
    monkeypatch.setattr("benchmarks.evaluation.timing.time.perf_counter", lambda: next(ticks))


def test_stages_of_a_processor_add_up(clock: None) -> None:
    stages = Stages(torch.device("cpu"))
    for stage in ("segment", "score", "segment"):
        with stages(stage):
            pass
    assert stages.record() == StagesRecord(segment=20, score=10)


def test_a_gpu_is_timed_by_its_own_clock_and_waited_for_before_scoring(
    clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[None] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(None))
    stages = Stages(torch.device("cuda"))
    with stages("load"):
        pass
    for _ in range(2):
        with stages("segment"):
            pass
    assert not waits
    with stages("score"):
        pass
    assert len(waits) == 1
    for _ in range(2):  # asked twice, it counts nothing twice
        assert stages.record() == StagesRecord(load=10, segment=2, score=10)
