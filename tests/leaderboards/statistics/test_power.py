"""The number of episodes that tells two models apart."""

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from benchmarks.errors import BenchError
from benchmarks.evaluation.metrics import EpisodeCounts
from benchmarks.results import figures
from benchmarks.results.journal import Row
from benchmarks.results.store import Result, RunKey, read_result
from leaderboards.statistics.power import power
from tests.leaderboards.synthetic import make_record, make_setup, write_model, write_run


def model(root: Path, name: str, **changes: object) -> list[Result]:
    return [read_result(root, key) for key in write_model(root, name, **changes)]


def test_of_one_model_the_other_is_taken_as_independent(tmp_path: Path) -> None:
    found = power([model(tmp_path, "alpha")])
    assert (found.folds, found.of) == ((0, 1, 2, 3), 4)
    assert found.models == ("alpha",)
    assert (found.episodes, found.images, found.correlation) == (160, 80, 0.0)
    normal = NormalDist()
    assert found.detectable == pytest.approx(
        (normal.inv_cdf(0.975) + normal.inv_cdf(0.8)) * found.deviation
    )


def test_half_the_difference_takes_four_times_the_episodes(tmp_path: Path) -> None:
    own = model(tmp_path, "alpha")
    found = power([own], points=(0.02, 0.01))
    assert found.needed[0.01] == pytest.approx(4 * found.needed[0.02], rel=0.01)
    again = power([own], points=(found.detectable,))
    assert again.needed[found.detectable] == pytest.approx(found.episodes, abs=1)
    assert power([own], chance=0.9).detectable > found.detectable


def test_two_models_that_agree_need_fewer(tmp_path: Path) -> None:
    alpha = model(tmp_path, "alpha", seed=3)
    close = []
    for result in alpha:
        areas = result.counts.areas - result.counts.areas[:, :1] // 20 * np.array([1, 0, 0, -1])
        counts = EpisodeCounts(result.counts.episode, result.counts.class_id, areas)
        close.append(replace(result, counts=counts))
    pair, single = power([alpha, close]), power([alpha])
    assert pair.correlation > 0.99
    assert pair.detectable < single.detectable / 5
    independent = power([alpha, model(tmp_path, "beta", seed=8)])
    assert abs(independent.correlation) < 0.6
    assert independent.detectable == pytest.approx(single.detectable, rel=0.5)


def test_the_promised_chance_is_kept(tmp_path: Path) -> None:
    """Lists of the length asked for find a true difference as often as promised."""
    random = np.random.default_rng(1)
    gap = 0.06

    def trial(images: int) -> list[list[Result]]:
        """Two models whose IoU differs by `gap` on an endless list, on one of so many images."""
        setup = make_setup(classes={0: "disc"}, folds=1, count=images)
        unions = random.integers(80, 120, images)
        skills = 0.1 + 0.7 * random.beta(4, 4, (2, images))
        models = []
        for index, name in enumerate(("alpha", "beta")):
            areas = np.zeros((images, 4), dtype=np.int64)
            areas[:, 0] = random.binomial(unions, skills[index] + index * gap)
            areas[:, 1] = unions
            areas[:, 3] = unions - areas[:, 0]
            counts = EpisodeCounts(np.arange(images), np.zeros(images, dtype=np.int64), areas)
            rows = [Row(e, 0, tuple(a), 1.0) for e, a in enumerate(areas.tolist())]
            key = RunKey("toy", "fixed-v1", name, 0, 1)
            queries = tuple(str(episode) for episode in range(images))
            models.append([Result(key, make_record(setup, rows), counts, queries, None)])
        return models

    needed = int(np.mean([power(trial(100), points=(gap,)).needed[gap] for _ in range(20)]))
    found = []
    for _ in range(120):
        again = power(trial(needed), points=(gap,))
        observed = np.ptp([figures.miou(own[0]) for own in trial(needed)])
        found.append(observed > NormalDist().inv_cdf(0.975) * again.deviation)
    assert np.mean(found) == pytest.approx(0.8, abs=0.12)


def test_different_lists_have_no_power(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="different episode lists"):
        power([model(tmp_path, "alpha"), model(tmp_path, "beta", episodes="f" * 64)])
    lone = read_result(tmp_path, write_run(tmp_path, fold=0))
    other = read_result(tmp_path, write_run(tmp_path, name="beta", fold=1))
    with pytest.raises(BenchError, match="no fold in common"):
        power([[lone], [other]])


def test_folds_of_other_options_have_no_power(tmp_path: Path) -> None:
    alpha = model(tmp_path, "alpha")
    alpha[2] = read_result(tmp_path, write_run(tmp_path, fold=2, config={"backbone": "large"}))
    with pytest.raises(BenchError, match=r"alpha on toy.* = 'tiny' on fold 0, 'large' on fold 2; "):
        power([alpha])
