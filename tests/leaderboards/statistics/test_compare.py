"""Paired comparison: by hand, against slow loops, and by what chance may do."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import BenchError
from benchmarks.evaluation import metrics
from benchmarks.evaluation.intervals import ClassClusters
from benchmarks.evaluation.metrics import EpisodeCounts
from benchmarks.results.store import Result, RunKey, read_result
from leaderboards.page.report import episodes_of
from leaderboards.statistics.comparison import Comparison, compare, compare_all
from leaderboards.statistics.significance import holm, permutation_test
from tests.leaderboards.synthetic import write_model, write_run


def model(root: Path, name: str, **changes: object) -> list[Result]:
    return [read_result(root, key) for key in write_model(root, name, **changes)]


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return compare(
        model(tmp_path, "alpha", skill=0.7, seed=1), model(tmp_path, "beta", skill=0.6, seed=2)
    )


def test_differences_are_those_of_the_figures(tmp_path: Path, comparison: Comparison) -> None:
    mious = {
        name: np.mean(
            [read_result(tmp_path, RunKey("toy", "fixed-v1", name, f, 1)).record.miou
             for f in range(4)]
        )
        for name in ("alpha", "beta")
    }  # fmt: skip
    assert comparison.a_miou == pytest.approx(mious["alpha"])
    assert comparison.b_miou == pytest.approx(mious["beta"])
    assert comparison.miou.value == pytest.approx(mious["alpha"] - mious["beta"])
    assert comparison.miou.value in comparison.miou.interval
    assert comparison.fb_iou.value in comparison.fb_iou.interval
    assert comparison.setting == "toy, fixed-v1, 1-shot"
    assert (comparison.folds, comparison.of) == ((0, 1, 2, 3), 4)
    assert len(comparison.classes) == 8
    for found in comparison.classes:
        assert found.difference.value == pytest.approx(found.a - found.b)
        assert found.difference.value in found.difference.interval
    gaps = [found.difference.value for found in comparison.classes]
    assert gaps == sorted(gaps, reverse=True)
    assert np.mean(gaps) == pytest.approx(comparison.miou.value)


def test_the_other_way_round_everything_is_negated(tmp_path: Path, comparison: Comparison) -> None:
    a, b = (
        [read_result(tmp_path, RunKey("toy", "fixed-v1", name, f, 1)) for f in range(4)]
        for name in ("alpha", "beta")
    )
    other = compare(b, a)
    assert other.miou.value == -comparison.miou.value
    assert other.miou.interval.low == pytest.approx(-comparison.miou.interval.high)
    assert other.p == comparison.p
    assert (other.wins, other.ties, other.losses) == (
        comparison.losses,
        comparison.ties,
        comparison.wins,
    )


def test_a_paired_interval_is_narrower_than_either_models(tmp_path: Path) -> None:
    # The better model has one pixel in twenty more of every union.
    better = model(tmp_path, "alpha", seed=3)
    worse = []
    for result in model(tmp_path, "beta", seed=3):
        fi, fu, bi, bu = result.counts.areas.T
        lost = fi // 20
        areas = np.stack([fi - lost, fu, bi, bu + lost], axis=1)
        counts = EpisodeCounts(result.counts.episode, result.counts.class_id, areas)
        worse.append(Result(result.key, result.record, counts, result.queries, None))
    found = compare(better, worse)
    assert found.miou.interval.low > 0
    assert found.p < 0.001
    assert found.miou.interval.high - found.miou.interval.low < 0.01
    assert (found.losses, found.wins + found.ties) == (0, 160)


def test_a_model_does_not_differ_from_itself(tmp_path: Path) -> None:
    own = model(tmp_path, "alpha")
    found = compare(own, own)
    assert found.p == 1.0
    assert (found.miou.value, found.miou.interval.low, found.miou.interval.high) == (0, 0, 0)
    assert (found.wins, found.ties, found.losses) == (0, 160, 0)


def test_wins_and_the_episodes_that_differ_most(comparison: Comparison, tmp_path: Path) -> None:
    gaps = []
    for fold in range(4):
        a, b = (
            read_result(tmp_path, RunKey("toy", "fixed-v1", name, fold, 1)).counts.areas
            for name in ("alpha", "beta")
        )
        gaps += (a[:, 0] / a[:, 1] - b[:, 0] / b[:, 1]).tolist()
    assert comparison.wins == sum(gap > 0 for gap in gaps)
    assert comparison.losses == sum(gap < 0 for gap in gaps)
    shown = [abs(found.a - found.b) for found in comparison.episodes]
    assert shown == pytest.approx(sorted(map(abs, gaps), reverse=True)[:10])
    first = comparison.episodes[0]
    assert gaps[40 * first.fold + first.episode] == pytest.approx(first.a - first.b)
    assert first.query == f"img_{first.episode % 20:04d}"


def clusters(*models: list[tuple[int, int]]) -> ClassClusters:
    """One class whose images have these foreground intersections and unions per model."""
    areas = np.zeros((len(models[0]), len(models), 1, 4))
    for index, images in enumerate(models):
        areas[:, index, 0, :2] = images
    return ClassClusters(0, np.ones(1), areas)


def test_the_permutation_test_against_all_exchanges() -> None:
    a = [(50, 100), (80, 90), (30, 60), (70, 75), (45, 50)]
    b = [(40, 100), (70, 95), (35, 60), (40, 70), (40, 55)]

    def iou(images: list[tuple[int, int]]) -> float:
        return sum(i for i, _ in images) / sum(u for _, u in images)

    observed = abs(iou(a) - iou(b))
    every = []
    for swaps in product((False, True), repeat=5):
        first = [y if swap else x for x, y, swap in zip(a, b, swaps, strict=True)]
        second = [x if swap else y for x, y, swap in zip(a, b, swaps, strict=True)]
        every.append(abs(iou(first) - iou(second)) >= observed - 1e-12)
    p = permutation_test({0: [clusters(a, b)]}, permutations=20_000)
    assert p == pytest.approx(np.mean(every), abs=0.01)


def test_alike_models_differ_by_chance_in_one_of_twenty_trials() -> None:
    random = np.random.default_rng(0)
    below = 0
    for seed in range(200):
        unions = random.integers(50, 150, (2, 40))
        hits = random.binomial(unions, random.beta(6, 4, (2, 40)))
        a, b = (list(zip(hits[i].tolist(), unions[i].tolist(), strict=True)) for i in (0, 1))
        below += permutation_test({0: [clusters(a, b)]}, permutations=400, seed=seed) <= 0.05
    assert 2 <= below <= 20


def test_p_is_never_zero() -> None:
    a, b = [(100, 100)] * 30, [(0, 100)] * 30
    assert permutation_test({0: [clusters(a, b)]}, permutations=999) == pytest.approx(0.001)


def test_episodes_of_one_query_are_exchanged_together(tmp_path: Path) -> None:
    # The same answers, once as 20 images asked for twice and once as 40 images.
    a, b = (
        read_result(tmp_path, write_run(tmp_path, name=name, seed=seed, count=40, skill=skill))
        for name, seed, skill in (("alpha", 1, 0.64), ("beta", 2, 0.6))
    )

    def p(queries: tuple[str, ...]) -> float:
        doubled = [
            Result(
                own.key, own.record,
                EpisodeCounts(own.counts.episode, own.counts.class_id,
                              np.tile(own.counts.areas[:20], (2, 1))),
                queries, None,
            )
            for own in (a, b)
        ]  # fmt: skip
        return compare([doubled[0]], [doubled[1]]).p

    apart = tuple(f"q{episode}" for episode in range(40))
    together = tuple(f"q{episode % 20}" for episode in range(40))
    assert p(together) > p(apart)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted)


def test_several_models_are_compared_pair_by_pair_with_holms_correction(tmp_path: Path) -> None:
    found = []
    for shots in (1, 5):
        for index, name in enumerate(("alpha", "beta", "gamma")):
            found += model(tmp_path, name, skill=0.6 + index / 50, seed=index, shots=shots)
    comparisons = compare_all(found)
    assert [(own.a, own.b, own.setting[-6:]) for own in comparisons[:3]] == [
        ("alpha", "beta", "1-shot"),
        ("alpha", "gamma", "1-shot"),
        ("beta", "gamma", "1-shot"),
    ]
    assert len(comparisons) == 6
    raw = [own.p for own in comparisons[:3]]
    assert [own.adjusted_p for own in comparisons[:3]] == holm(raw)
    assert min(raw) < min(own.adjusted_p for own in comparisons[:3])


def test_folds_that_only_one_model_has_are_not_compared(tmp_path: Path) -> None:
    found = compare(model(tmp_path, "alpha", folds=2), model(tmp_path, "beta"))
    assert (found.folds, found.of) == ((0, 1), 4)
    with pytest.raises(BenchError, match="no fold in common"):
        compare(model(tmp_path, "alpha")[:2], model(tmp_path, "beta")[2:])


def test_models_without_a_common_fold_are_named_and_the_others_compared(tmp_path: Path) -> None:
    alpha = model(tmp_path, "alpha")
    b0, b1 = (read_result(tmp_path, write_run(tmp_path, name=f"b{n}", fold=n)) for n in (0, 1))
    said: list[str] = []
    found = compare_all([*alpha, b0, b1], said.append)
    assert [(own.b, own.part) for own in found] == [
        ("b0", ", 1 of 4 folds"),
        ("b1", ", 1 of 4 folds"),
    ]
    assert said == ["b0 and b1 on toy, fixed-v1, 1-shot, have no fold in common; run one of both"]
    with pytest.raises(BenchError, match=r"^b0 and b1 on toy.* have no fold in common"):
        compare_all([b0, b1])


def test_folds_that_should_be_alike_and_are_not_are_said(tmp_path: Path) -> None:
    results = [*model(tmp_path, "alpha"), *model(tmp_path, "beta")]
    results[5] = read_result(tmp_path, write_run(tmp_path, name="beta", fold=1, dtype="bf16"))
    (found,) = compare_all(results)
    assert found.mixed == ("the folds of beta differ in dtype",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": "f" * 64}, "different datasets, dddddddddddddddd and ffffffffffffffff"),
        ({"episodes": "f" * 64}, "different episode lists, 01ee"),
        ({"count": 30}, "different numbers of episodes, 40 and 30"),
    ],
)
def test_different_measurements_are_refused_with_both_digests(
    tmp_path: Path, changes: dict, said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        compare(model(tmp_path, "alpha"), model(tmp_path, "beta", **changes))


def test_folds_of_other_options_are_not_compared(tmp_path: Path) -> None:
    results = [*model(tmp_path, "alpha"), *model(tmp_path, "beta")]
    results[2] = read_result(tmp_path, write_run(tmp_path, fold=2, config={"backbone": "large"}))
    with pytest.raises(BenchError, match=r"alpha on toy.* = 'tiny' on fold 0, 'large' on fold 2; "):
        compare_all(results)


def test_two_models_of_one_name_are_not_compared(tmp_path: Path) -> None:
    own, other = model(tmp_path / "a", "alpha"), model(tmp_path / "b", "beta")
    with pytest.raises(
        BenchError, match=r"alpha on toy, fixed-v1, 1-shot, is there twice; give one"
    ):
        compare_all([*own, *own, *other])


def test_nothing_marked_where_nothing_is_beats_all_marked(tmp_path: Path) -> None:
    result = read_result(tmp_path, write_run(tmp_path))
    results = []
    for name, absent in (("still", [0, 0, 400, 400]), ("loud", [0, 400, 0, 400])):
        areas = result.counts.areas.copy()
        areas[0] = absent
        key, counts = replace(result.key, model=name), replace(result.counts, areas=areas)
        results.append(replace(result, key=key, counts=counts))
    found = compare(*([own] for own in results))
    assert (found.wins, found.ties, found.losses) == (1, 39, 0)
    assert (found.episodes[0].episode, found.episodes[0].a, found.episodes[0].b) == (0, 1, 0)
    still, loud = (episodes_of([own]) for own in results)
    assert (still[0].number, loud[-1].number) == (0, 0)


def test_nothing_to_compare_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no two models"):
        compare_all(model(tmp_path, "alpha") + model(tmp_path, "beta", shots=5))


def test_figures_are_those_of_the_protocol(tmp_path: Path) -> None:
    # BAM's figure is a mean over five runs.
    a, b = (
        [read_result(tmp_path, write_run(tmp_path, name=name, protocol="bam", seed=seed))]
        for seed, name in enumerate(("alpha", "beta"))
    )
    found = compare(a, b)
    whole = [metrics.miou(own[0].counts, [0, 1], "zero") for own in (a, b)]
    assert found.miou.value == pytest.approx(a[0].record.miou - b[0].record.miou)
    assert found.miou.value != pytest.approx(whole[0] - whole[1], abs=1e-6)
    assert found.miou.value in found.miou.interval
