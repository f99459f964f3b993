"""Memory runs out: batches halve until they fit, or the run ends and says what to change."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import config, counts, run
from tests.tiny import ColourModel

from models.segmenter import Features  # isort: skip

HUNGRY = f"{__name__}:Hungry"
CPU = "[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried"


class Hungry(ColourModel):
    """Runs out of memory with more than `fits` queries."""

    batch_size = 8
    fits = 2
    raised: Callable[[], Exception] = torch.OutOfMemoryError

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        if len(queries) > self.fits:
            raise type(self).raised()
        return super().segment(queries, supports)


@pytest.mark.parametrize(
    "raised",
    [torch.OutOfMemoryError, MemoryError, lambda: RuntimeError(CPU)],
    ids=["GPU", "Python", "CPU"],
)
def test_batches_halve_until_they_fit(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Callable[[], Exception]
) -> None:
    monkeypatch.setattr(Hungry, "raised", raised)
    listener = Quiet()
    outcome = run_matrix(config(root, tmp_path / "a", HUNGRY), listener=listener)[0]
    assert outcome.record is not None and outcome.record.setup.batch_size == 2
    assert ["batches of 4" in listener.notes[0], "batches of 2" in listener.notes[1]] == [True] * 2
    run(root, tmp_path / "b")
    assert counts(tmp_path / "a") == counts(tmp_path / "b")
    assert run(root, tmp_path / "a", HUNGRY).status == "already complete"


class Crowded(Hungry):
    """Runs out of memory once, as if the cache had filled it."""

    fits = 8

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            raise torch.OutOfMemoryError
        return super().segment(queries, supports)


def test_without_the_cache_it_may_fit(root: Path, tmp_path: Path) -> None:
    outcome = run(root, tmp_path / "a", f"{__name__}:Crowded")
    assert outcome.record is not None and outcome.record.setup.batch_size == 8
    run(root, tmp_path / "b")
    assert counts(tmp_path / "a") == counts(tmp_path / "b")


def test_a_batch_that_was_asked_for_is_kept_to(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"out of memory with batches of 4; use a smaller --batch"):
        run(root, tmp_path, HUNGRY, batch_size=4)


def test_one_episode_that_does_not_fit_is_the_end(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hungry, "fits", 0)
    with pytest.raises(BenchError, match=r"out of memory with batches of 1; use --dtype"):
        run(root, tmp_path, HUNGRY)
