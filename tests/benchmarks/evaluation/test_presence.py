"""Whether the class is there: a model's own score, its way into results, and its ROC curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks import evaluate
from benchmarks.cli.outcomes import outcome_json, print_answers
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.run import Outcome
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.prediction import checked_presence
from benchmarks.evaluation.questions import auroc
from benchmarks.results.merge import merge
from benchmarks.results.shards import Shard
from benchmarks.results.store import Result, read_result
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset
from models.segmenter import Features
from tests.benchmarks.engines.test_local import StopAfter
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import ColourModel, tiny_config, tiny_dataset

HERE = "tests.benchmarks.evaluation.test_presence"
EPISODES = 40
LIKELY = -0.16
Scores = list[float]


class Sure(ColourModel):
    """Says how far its likeliest pixel is above the colour of the supports' background."""

    def presence(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]], scores: Tensor
    ) -> Tensor:
        best = scores.flatten(1).amax(1)
        return best - torch.stack([sum(s["bg"].mean() for s in own) for own in supports])


class Torn(Sure):
    """Has no number for queries that are likely to hold the class."""

    def presence(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]], scores: Tensor
    ) -> Tensor:
        found = super().presence(queries, supports, scores)
        return torch.where(found > LIKELY, torch.nan, found)


class Short(Sure):
    """Says one thing for all."""

    def presence(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]], scores: Tensor
    ) -> Tensor:
        return super().presence(queries, supports, scores)[:1]


def pairs(present: Scores, absent: Scores) -> float:
    """The definition: every pair, one after the other."""
    won = 0.0
    for there in present:
        for not_there in absent:
            won += 1.0 if there > not_there else 0.5 if there == not_there else 0.0
    return won / (len(present) * len(absent))


some = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12)


@given(some, some)
def test_the_area_is_the_share_of_pairs_in_order(present: Scores, absent: Scores) -> None:
    own = auroc(np.array(present), np.array(absent))
    assert own == pytest.approx(pairs(present, absent), abs=1e-12)
    assert auroc(np.array(absent), np.array(present)) == pytest.approx(1 - own, abs=1e-12)


@given(some, some)
def test_only_the_order_of_scores_counts(present: Scores, absent: Scores) -> None:
    stretched = [np.exp(np.array(scores)) * 1e-3 - 7 for scores in (present, absent)]
    assert auroc(*stretched) == auroc(np.array(present), np.array(absent))


@given(some, some)
def test_perfect_scores_have_all_and_equal_ones_half(present: Scores, absent: Scores) -> None:
    there, not_there = np.array(present), np.array(absent)
    assert auroc(there + 11, not_there) == 1
    assert auroc(there, not_there + 11) == 0
    assert auroc(np.zeros_like(there), np.zeros_like(not_there)) == 0.5


def test_presence_is_a_finite_number_for_each_query() -> None:
    episodes = [Episode(n, 0, f"q{n}", ("s",)) for n in (4, 5)]
    half = torch.tensor([0.1, -3.0], dtype=torch.float16)
    assert checked_presence(half, episodes) == half.double().tolist()
    for wrong, said in (
        (torch.zeros(2, 1), r"presence of shape \(2, 1\) for 2 queries"),
        ([0.0, 1.0], "presence of list for 2 queries"),
        (torch.tensor([0.0, torch.inf]), r"presence of inf in episode 5 \(query q5\)"),
    ):
        with pytest.raises(BenchError, match=said):
            checked_presence(wrong, episodes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presence")
    tiny_dataset(folder / "data", shots=(2,))
    return folder


def config(root: Path, results: Path, *models: str, **changes: object) -> BenchConfig:
    asked: Mapping[str, object] = {
        "name": "tiny",
        "protocol": changes.pop("protocol", "absent-v1"),
        "folds": [0],
        "shots": [2],
    }
    named = [{"name": name.lower(), "model": f"{HERE}:{name}"} for name in models]
    return tiny_config(
        root,
        **{"results_root": results, "datasets": [asked], "models": named, "limit": EPISODES}
        | changes,
    )


def measured(root: Path, results: Path, model: str, **changes: object) -> Result:
    (outcome,) = run_matrix(config(root, results, model, **changes), listener=Quiet())
    return read_result(results, outcome.key)


@pytest.fixture(scope="module")
def alone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What one process measures without a stop."""
    return measured(root, tmp_path_factory.mktemp("alone"), "Sure")


def bits(result: Result) -> bytes:
    assert result.counts.presence is not None
    return result.counts.presence.tobytes() + result.counts.areas.tobytes()


def test_a_result_keeps_what_the_model_says_of_each_episode(root: Path, alone: Result) -> None:
    model, dataset = Sure(), PreparedDataset(root / "data", "tiny")
    grid = model.geometry

    def seen(image: str) -> list[Features]:
        return model.encode_image(grid.image(dataset.image(image))[None].float() / 255)

    expected = []
    for episode in dataset.episodes("absent-v1", 0, 2)[:EPISODES]:
        shots = [
            model.encode_support(
                torch.zeros(1, 3, 16, 16),
                grid.mask(dataset.labels(support) == episode.class_index + 1)[None].float(),
                seen(support),
            )[0]
            for support in episode.supports
        ]
        query = seen(episode.query)
        expected += model.presence(query, [shots], model.segment(query, [shots])).tolist()
    assert alone.counts.presence is not None
    assert alone.counts.presence.dtype == np.float64
    assert alone.counts.presence == pytest.approx(expected, abs=1e-4)
    assert len({*alone.counts.presence.tolist()}) > EPISODES / 2


def test_masks_are_those_of_a_model_that_says_nothing(
    root: Path, tmp_path: Path, alone: Result
) -> None:
    models = [{"name": "plain", "model": "tests.tiny:ColourModel"}]
    plain = measured(root, tmp_path, "Sure", models=models)
    assert plain.counts.presence is None
    assert np.array_equal(plain.counts.areas, alone.counts.areas)


def test_nobody_pays_where_it_is_not_asked(root: Path, tmp_path: Path) -> None:
    for protocol in ("fixed-v1", "hsnet"):
        assert measured(root, tmp_path, "Torn", protocol=protocol).counts.presence is None
    prompted = measured(root, tmp_path, "Sure", protocol="absent-v1+box")
    assert prompted.counts.presence is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_interruptions_and_workers_change_no_bit(
    root: Path, tmp_path: Path, alone: Result, workers: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        wanted = config(root, tmp_path, "Sure", workers=workers)
        run_matrix(wanted, listener=StopAfter(5))
    assert bits(measured(root, tmp_path, "Sure", workers=workers)) == bits(alone)


def test_shards_change_no_bit(root: Path, tmp_path: Path, alone: Result) -> None:
    for text in ("1/3", "2/3", "3/3"):
        run_matrix(config(root, tmp_path, "Sure"), listener=Quiet(), shard=Shard.parse(text))
    (found,) = merge(tmp_path)
    assert bits(read_result(tmp_path, found.key)) == bits(alone)


def test_episodes_without_a_number_have_failed(root: Path, tmp_path: Path, alone: Result) -> None:
    (outcome,) = run_matrix(config(root, tmp_path, "Torn"), listener=Quiet())
    assert outcome.record is None and outcome.unfinished is not None
    assert alone.counts.presence is not None
    likely = np.flatnonzero(alone.counts.presence > LIKELY).tolist()
    assert sorted(outcome.unfinished.failed) == likely
    assert 0 < len(likely) < outcome.unfinished.measured
    assert all("a presence of nan in" in said for said in outcome.unfinished.failed.values())
    (outcome,) = run_matrix(config(root, tmp_path, "Short"), listener=Quiet())
    assert outcome.unfinished is not None and outcome.unfinished.failed
    assert all("presence of shape (1,)" in said for said in outcome.unfinished.failed.values())


def test_the_area_stands_with_the_other_answers(
    root: Path, tmp_path: Path, alone: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = config(root, tmp_path, "Sure", "ColourModel")
    outcomes: list[Outcome] = run_matrix(wanted, listener=Quiet())
    sure, plain = (outcome_json(own, tmp_path)["answers"] for own in outcomes)
    assert alone.counts.presence is not None
    every = alone.counts.presence.tolist()
    assert sure["presence_auroc"] == pytest.approx(pairs(every[::2], every[1::2]))
    assert {*sure} - {*plain} == {"presence_auroc"}
    print_answers(outcomes, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    (head,) = [line for line in lines if "presence AUROC" in line]
    shown = {line.split()[2]: line.split()[-1] for line in lines if line.startswith(" tiny")}
    assert head.rstrip().endswith("presence AUROC")
    assert shown == {"sure": f"{100 * sure['presence_auroc']:.1f}", "colourmodel": "–"}


def test_present_queries_alone_have_no_curve(root: Path, tmp_path: Path) -> None:
    (outcome,) = run_matrix(config(root, tmp_path, "Sure", limit=1), listener=Quiet())
    result = read_result(tmp_path, outcome.key)
    assert len(result.counts) == 1 and result.counts.presence is not None
    assert {*outcome_json(outcome, tmp_path)["answers"]} == {"present_miou"}


def test_from_python_it_is_a_column(root: Path) -> None:
    dataset = PreparedDataset(root / "data", "tiny")
    wanted = {"protocol": "absent-v1", "shots": 2, "limit": 12, "folds": [0, 1]}
    scores = evaluate(Sure(), dataset, name="sure", **wanted)  # type: ignore[arg-type]
    assert 0 <= scores.answers["presence_auroc"] <= 1
    assert scores.table().column_names[-1] == "presence"
    plain = evaluate(ColourModel(), dataset, name="plain", **wanted)  # type: ignore[arg-type]
    assert "presence" not in plain.table().column_names
