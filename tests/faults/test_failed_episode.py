"""The model raises on an episode: it is named, the others go on, and there is no score."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.results.store import find_runs, find_unfinished, read_unfinished
from datasets_prep.errors import DatasetError
from models.segmenter import Features
from tests.faults.runs import EPISODES, KEY, counts, run
from tests.tiny import ColourModel

FAULTY = f"{__name__}:Faulty"


class Faulty(ColourModel):
    """Fails as `fault` does on the queries that `marked` names."""

    marked: frozenset[int] = frozenset()
    calls: list[int] = []  # noqa: RUF012
    wants = ("seeds",)

    @staticmethod
    def fault(scores: Tensor, row: int) -> Tensor:
        raise RuntimeError("no such luck\nwith details")

    def segment(
        self,
        queries: Sequence[Features],
        supports: Sequence[Sequence[Features]],
        seeds: Sequence[int] = (),
    ) -> Tensor:
        scores = super().segment(queries, supports)
        Faulty.calls.append(len(set(seeds)))
        for row, seed in enumerate(seeds):
            if seed in self.marked:
                return type(self).fault(scores, row)
        return scores


def not_a_number(scores: Tensor, row: int) -> Tensor:
    scores[row, 0, 0] = torch.nan
    return scores


def infinite(scores: Tensor, row: int) -> Tensor:
    scores[row, 3] = -torch.inf
    return scores


@pytest.fixture(autouse=True)
def healthy() -> Iterator[None]:
    yield
    Faulty.marked, Faulty.calls = frozenset(), []


def break_on(root: Path, episodes: Sequence[int]) -> None:
    """Let the model fail on these episodes of the list."""
    from benchmarks.evaluation.extras import episode_seed
    from datasets_prep.episodes.episode import digest
    from datasets_prep.prepared.dataset import PreparedDataset

    whole = digest(PreparedDataset(root / "data", "tiny").episodes("fixed-v1", 0, 1))
    Faulty.marked = frozenset(episode_seed(whole, number) for number in episodes)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_it_is_named_and_gives_no_score_until_it_is_run_again(
    root: Path, tmp_path: Path, batch_size: int
) -> None:
    run(root, tmp_path / "healthy", FAULTY, batch_size=batch_size)
    break_on(root, [7, 23])
    outcome = run(root, tmp_path, FAULTY, batch_size=batch_size)
    assert outcome.status == "unfinished" and outcome.record is None
    assert outcome.unfinished is not None and outcome.unfinished.measured == EPISODES - 2
    assert outcome.unfinished.failed == dict.fromkeys((7, 23), "RuntimeError: no such luck")
    assert find_runs(tmp_path) == []
    assert find_unfinished(tmp_path) == [outcome.unfinished]

    Faulty.marked, Faulty.calls = frozenset(), []
    assert run(root, tmp_path, FAULTY, batch_size=batch_size).status == "measured"
    assert Faulty.calls == [1, 1], "more than the failed episodes was tried again"
    assert counts(tmp_path) == counts(tmp_path / "healthy")
    assert read_unfinished(tmp_path, KEY) is None


def test_what_fails_again_stays_failed(root: Path, tmp_path: Path) -> None:
    break_on(root, [7, 23])
    run(root, tmp_path, FAULTY)
    break_on(root, [23])
    again = run(root, tmp_path, FAULTY).unfinished
    assert again is not None and again.measured == EPISODES - 1 and set(again.failed) == {23}


@pytest.mark.parametrize(
    "raised",
    [
        TimeoutError("no answer"),
        FileNotFoundError(2, "No such file", "prompt.txt"),
        DatasetError("cannot read the model's own table"),
        KeyError("mask"),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_a_model_raises_is_a_failure_of_its_episode(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    """Only what the loader raises would be the dataset's fault, and end the run."""

    def fault(scores: Tensor, row: int) -> Tensor:
        raise raised

    monkeypatch.setattr(Faulty, "fault", staticmethod(fault))
    break_on(root, [11])
    unfinished = run(root, tmp_path, FAULTY, batch_size=8).unfinished
    assert unfinished is not None and unfinished.measured == EPISODES - 1
    assert unfinished.failed == {11: f"{type(raised).__name__}: {raised}"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (not_a_number, r"scores that are not finite in episode 11 (query img_"),
        (infinite, r"scores that are not finite in episode 11 (query img_"),
        (lambda scores, row: scores[:, None], "scores of shape (3, 1, 16, 16) for 3 queries"),
        (lambda scores, row: scores[1:], "scores of shape (2, 16, 16) for 3 queries"),
        (lambda scores, row: None, "the model gave NoneType for 3 queries"),
    ],
)
def test_scores_that_cannot_be_used_are_a_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: object, said: str
) -> None:
    monkeypatch.setattr(Faulty, "fault", staticmethod(fault))
    break_on(root, [11])
    unfinished = run(root, tmp_path, FAULTY).unfinished
    assert unfinished is not None and set(unfinished.failed) == {11}
    assert said in unfinished.failed[11]


def test_a_mask_that_is_none_is_a_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Faulty.binarize
    monkeypatch.setattr(Faulty, "binarize", lambda self, scores: rule(self, scores)[:, :1])
    unfinished = run(root, tmp_path, FAULTY).unfinished
    assert unfinished is not None and unfinished.measured == 0
    said = re.compile(r"the model made masks of torch\.bool \(\d, 1, \d+\) .* must be bool, B×H×W")
    assert all(said.fullmatch(reason) for reason in unfinished.failed.values())


def test_a_model_that_always_fails_is_not_tried_to_the_end(root: Path, tmp_path: Path) -> None:
    break_on(root, range(EPISODES))
    unfinished = run(root, tmp_path, FAULTY, batch_size=1).unfinished
    assert unfinished is not None and unfinished.measured == 0
    assert len(unfinished.failed) == 10 < EPISODES


def test_the_other_runs_of_the_matrix_go_on(root: Path, tmp_path: Path) -> None:
    from benchmarks.engines.runner import run_matrix
    from tests.benchmarks.evaluation.test_evaluator import Quiet
    from tests.faults.runs import config

    break_on(root, [3])
    models = [{"name": "bad", "model": FAULTY}, {"name": "good", "model": "tests.tiny:ColourModel"}]
    outcomes = run_matrix(config(root, tmp_path, models=models), listener=Quiet())
    assert [outcome.status for outcome in outcomes] == ["unfinished", "measured"]
