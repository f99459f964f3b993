"""Several classes of one query at once: who gets a pixel, and the counts of a whole run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.again import measure_again
from benchmarks.evaluation.metrics import EpisodeCounts
from benchmarks.evaluation.plan import make_plan
from benchmarks.evaluation.prediction import check_scores, predict
from benchmarks.evaluation.questions import together
from benchmarks.results.store import Result, read_result
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset
from models.geometry import Native
from models.segmenter import Features
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import ColourModel, tiny_config, tiny_dataset

HERE = "tests.benchmarks.evaluation.test_ways"


class Truth(ColourModel):
    """Answers with the truth, whatever it is asked."""

    wants = frozenset({"truths"})

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(gain)
        self.geometry = Native(1)

    def segment(
        self,
        queries: Sequence[Features],
        supports: Sequence[Sequence[Features]],
        truths: Tensor | None = None,
    ) -> Tensor:
        assert truths is not None
        return truths - 0.5


class Everything(ColourModel):
    """Marks everything, whatever it is asked."""

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        return torch.ones(len(queries), 1, 1)


class Together(ColourModel):
    """Weighs all classes at once, as `ColourModel` does when their scores are compared."""

    def segment_classes(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Sequence[Features]]]
    ) -> Tensor:
        rows = [
            self.segment([query] * len(classes), classes)
            for query, classes in zip(queries, supports, strict=True)
        ]
        return torch.stack([torch.cat([torch.zeros_like(own[:1]), own]) for own in rows])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ways")
    tiny_dataset(folder / "data", images=32, shots=(1,))
    return folder


def config(root: Path, results: Path, model: str, **changes: object) -> BenchConfig:
    return tiny_config(
        root,
        results_root=results,
        datasets=[{"name": "tiny", "protocol": "nway2-v1", "folds": [0], "shots": [1]}],
        models=[{"name": "own", "model": model}],
        **{"limit": 39, **changes},
    )


def result(root: Path, results: Path, model: str, **changes: object) -> Result:
    (outcome,) = run_matrix(config(root, results, model, **changes), listener=Quiet())
    return read_result(results, outcome.key)


def test_a_pixel_goes_to_the_largest_score_that_is_foreground() -> None:
    scores = torch.tensor([[[3.0, -1.0, 1.0, 2.0]], [[2.0, -2.0, 4.0, 2.0]]])
    masks = predict(ColourModel(), scores.expand(2, 4, 4), (4, 4), (4, 4), 2)
    assert masks[0, 0].tolist() == [True, False, False, True]
    assert masks[1, 0].tolist() == [False, False, True, False]
    alone = predict(ColourModel(), scores.expand(2, 4, 4), (4, 4), (4, 4))
    assert alone[1, 0].tolist() == [True, False, True, True]


def test_of_all_classes_at_once_the_largest_has_the_pixel() -> None:
    scores = torch.tensor([[0.0, 1.0, 5.0], [2.0, -1.0, 4.0], [1.0, 3.0, 3.0]])[None, :, None]
    masks = predict(ColourModel(), scores.expand(1, 3, 3, 3), (3, 3), (3, 3), 2)
    assert masks[:, 0].tolist() == [[True, False, False], [False, True, False]]


def test_scores_of_all_classes_have_their_shape_and_are_finite() -> None:
    episodes = [Episode(n, n % 2, f"q{n // 2}", ("s",)) for n in range(4)]
    check_scores(torch.zeros(2, 3, 5, 5), episodes, 2)
    with pytest.raises(BenchError, match=r"2 queries; scores must be B×3×H×W"):
        check_scores(torch.zeros(2, 2, 5, 5), episodes, 2)
    broken = torch.zeros(2, 3, 5, 5)
    broken[1, 2, 0, 0] = torch.nan
    with pytest.raises(BenchError, match=r"episode 2 \(query q1\)"):
        check_scores(broken, episodes, 2)


@pytest.mark.parametrize("size", [1, 3, 4, 7])
def test_classes_of_one_query_stay_in_one_batch(size: int) -> None:
    episodes = [Episode(n, (n * 7) % 4, f"q{n // 2 % 5}", ("s",)) for n in range(24)]
    batches = make_plan(episodes, lambda image: (1, int(image[1])), size, 2).batches
    assert sorted(e.index for batch in batches for e in batch.episodes) == list(range(24))
    for batch in batches:
        numbers = [e.index for e in batch.episodes]
        assert [n + 1 for n in numbers[::2]] == numbers[1::2]
        assert all(n % 2 == 0 for n in numbers[::2]) and len(numbers) <= max(size, 2)


def test_a_list_is_cut_between_queries(root: Path, tmp_path: Path) -> None:
    own = result(root, tmp_path, "tests.tiny:ColourModel")
    assert len(own.counts) == 40
    assert str(own.key) == "tiny/nway2-v1-first40/own/fold0_1shot"


def test_the_truth_gets_everything(root: Path, tmp_path: Path) -> None:
    assert result(root, tmp_path, f"{HERE}:Truth").record.miou == 1


def test_everything_is_the_first_class_alone(root: Path, tmp_path: Path) -> None:
    own = result(root, tmp_path, f"{HERE}:Everything")
    dataset = PreparedDataset(root / "data", "tiny")
    episodes = dataset.episodes("nway2-v1", 0, 1)[: len(own.counts)]
    sums = {index: [0, 0] for index in own.record.setup.dataset.classes}
    for episode in episodes:
        truth = dataset.mask(episode.query, episode.class_index)
        area, valid = int((truth == 1).sum()), int((truth != 255).sum())
        first = episode.index % 2 == 0
        sums[episode.class_index][0] += area if first else 0
        sums[episode.class_index][1] += valid if first else area
    expected = np.mean([intersection / union for intersection, union in sums.values()])
    assert own.record.miou == pytest.approx(expected)


def test_one_class_at_a_time_equals_all_at_once_where_scores_are_the_same(
    root: Path, tmp_path: Path
) -> None:
    one = result(root, tmp_path / "a", "tests.tiny:ColourModel")
    every = result(root, tmp_path / "b", f"{HERE}:Together")
    assert one.counts.areas.tolist() == every.counts.areas.tolist()
    small = result(root, tmp_path / "c", "tests.tiny:ColourModel", cache={"host": 0}, threads=1)
    assert one.counts.areas.tolist() == small.counts.areas.tolist()


def test_one_class_of_a_query_can_be_measured_again(root: Path, tmp_path: Path) -> None:
    own = result(root, tmp_path, "tests.tiny:ColourModel")
    dataset = PreparedDataset(root / "data", "tiny")
    again = measure_again(own.record, [3, 8], ColourModel(), dataset, torch.device("cpu"))
    assert again == {n: tuple(own.counts.areas[n].tolist()) for n in (3, 8)}


def test_it_is_measured_among_those_of_its_batch(root: Path, tmp_path: Path) -> None:
    calls = []

    class Seen(ColourModel):
        def segment(
            self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
        ) -> Tensor:
            calls.append([float(query["pixels"].sum()) for query in queries])
            return super().segment(queries, supports)

    own = result(root, tmp_path, "tests.tiny:ColourModel", batch_size=6)
    dataset = PreparedDataset(root / "data", "tiny")
    numbers = list(range(len(own.counts)))
    measure_again(own.record, numbers, Seen(), dataset, torch.device("cpu"))
    whole, calls[:] = calls.copy(), []
    measure_again(own.record, [3, 8], Seen(), dataset, torch.device("cpu"))
    assert 1 <= len(calls) <= 2 and all(call in whole for call in calls)


def test_figures_of_the_two_kinds_of_queries() -> None:
    areas = [(50, 100), (0, 0), (10, 100), (0, 0), (30, 100), (10, 100), (0, 100), (10, 10)]
    own = EpisodeCounts(
        np.arange(8), np.array([0, 1] * 4), np.array([(i, u, 0, 0) for i, u in areas])
    )
    found = together(own, ["q"] * 8, [0, 1], "left out", ways=2)
    assert found["two_there_miou"] == pytest.approx((80 / 200 + 10 / 100) / 2)
    assert found["one_there_miou"] == pytest.approx((10 / 200 + 10 / 10) / 2)
