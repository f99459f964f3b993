"""Ranks as ranges."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks import figures
from leaderboards.build import build
from leaderboards.committed.collect import Places, collect
from leaderboards.statistics.comparison import compare_all
from leaderboards.statistics.groups import group_settings
from leaderboards.statistics.scores import settings
from leaderboards.statistics.significance import permutation_test, permutation_tests
from tests.leaderboards.synthetic import CLASSES, write_model, write_run
from tests.leaderboards.test_build import cells

SKILLS = {"good": 0.8, "fair": 0.602, "same": 0.6, "poor": 0.3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    for seed, (name, skill) in enumerate(SKILLS.items()):
        write_model(root, name, skill=skill, seed=seed)
    write_model(root, "lonely", skill=0.1, sees_test_classes="yes")
    write_model(root, "halfway", folds=2)
    return root


def test_a_rank_is_a_range_where_the_test_cannot_tell_models_apart(root: Path) -> None:
    (setting,) = settings(collect(Places(root, root / "none")).results)
    assert setting.ranks == {
        "good": (1, 1), "fair": (2, 3), "same": (2, 3), "poor": (4, 4), "lonely": (1, 1)
    }  # fmt: skip
    order = [row.model.name for row in setting.rows]
    assert order.index("good") == 0 and order.index("poor") > order.index("fair")


def test_ranges_follow_from_the_corrected_pairs_of_compare(root: Path) -> None:
    found = collect(Places(root, root / "none")).results
    own = [result for result in found if result.key.model in SKILLS]
    (setting,) = settings(own)
    expected = {name: [1, len(SKILLS)] for name in SKILLS}
    for pair in compare_all(own):
        if pair.adjusted_p < 0.05:
            winner, loser = (pair.a, pair.b) if pair.miou.value > 0 else (pair.b, pair.a)
            expected[loser][0] += 1
            expected[winner][1] -= 1
    assert {name: list(own) for name, own in setting.ranks.items()} == expected


def test_all_pairs_at_once_are_the_same_as_one_by_one(root: Path) -> None:
    found = collect(Places(root, root / "none")).results
    models = [[r for r in found if r.key.model == name] for name in SKILLS]
    folds = {fold: figures.clusters([own[fold] for own in models]) for fold in range(4)}
    gaps, p_values = permutation_tests(folds, permutations=1200)
    for (a, b), gap, p in zip(combinations(models, 2), gaps, p_values, strict=True):
        pair = {fold: figures.clusters([a[fold], b[fold]]) for fold in range(4)}
        assert permutation_test(pair, permutations=1200) == p
        mious = [np.mean([figures.miou(result) for result in own]) for own in (a, b)]
        assert gap == pytest.approx(mious[0] - mious[1], abs=1e-12)


def test_many_models_can_still_be_told_apart(tmp_path: Path) -> None:
    """Forty models are 780 pairs, for which p = 1/10001 would not be enough."""
    for number in range(40):
        name = f"m{number:02d}"
        write_run(
            tmp_path, name=name, seed=number, skill=0.9 if number == 0 else 0.5, folds=1, count=80
        )
    (setting,) = settings(collect(Places(tmp_path, tmp_path / "none")).results)
    assert setting.ranks["m00"] == (1, 1)
    assert setting.ranks["m01"][0] == 2 and setting.ranks["m01"][1] > 30


def test_datasets_of_a_group_are_tested_together(tmp_path: Path) -> None:
    for name, skill in (("up", 0.8), ("down", 0.4)):
        for dataset, folds in (("one", 1), ("two", 4)):
            classes = {"classes": dict(enumerate(CLASSES[:4]))} if folds == 1 else {}
            for fold in range(folds):
                write_run(
                    tmp_path, name=name, skill=skill, dataset=dataset, fold=fold, folds=folds,
                    **classes,
                )  # fmt: skip
    found = settings(collect(Places(tmp_path, tmp_path / "none")).results)
    (group,) = group_settings(found, {"both": ("one", "two")})
    assert group.ranks == {"up": (1, 1), "down": (2, 2)}


def test_the_pages_show_ranges_and_say_what_they_mean(root: Path, tmp_path: Path) -> None:
    built = build(root, tmp_path)
    text = (tmp_path / "boards/toy.md").read_text()
    ranks = {row["Model"]: row["#"] for row in cells(text)}
    assert ranks["fair"] == ranks["same"] == "2–3" and ranks["poor"] == "4"
    assert "2–3  fair" in built.text
    for name in ("README.md", "index.html"):
        assert "cannot tell" in (tmp_path / name).read_text()
