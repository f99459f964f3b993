"""Folds to rows and rows to settings."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation.intervals import bootstrap, interval, over_folds
from benchmarks.results.store import read_result
from leaderboards.committed.collect import Places, collect
from leaderboards.statistics.scores import Row, Setting, settings
from tests.leaderboards.synthetic import write_model, write_run


def boards(root: Path) -> list[Setting]:
    return settings(collect(Places(root, root / "none")).results)


def only_row(root: Path) -> Row:
    (setting,) = boards(root)
    (row,) = setting.rows
    return row


def test_a_row_is_the_mean_of_its_folds_with_the_interval_of_the_mean(tmp_path: Path) -> None:
    results = [read_result(tmp_path, key) for key in write_model(tmp_path, "alpha")]
    row = only_row(tmp_path)
    assert row.miou is not None and row.fb_iou is not None
    assert row.miou.value == pytest.approx(np.mean([r.record.miou for r in results]))
    assert row.fb_iou.value == pytest.approx(np.mean([r.record.fb_iou for r in results]))
    draws = [
        bootstrap(
            [r.counts], r.queries, list(r.record.setup.dataset.classes), "left out", seed=fold
        )[0]
        for fold, r in enumerate(results)
    ]
    assert row.miou.interval == interval(over_folds([d.miou for d in draws]))
    assert row.fb_iou.interval == interval(over_folds([d.fb_iou for d in draws]))
    for fold, result in enumerate(results):
        score = row.folds[fold]
        assert score.miou.value == pytest.approx(result.record.miou)
        assert {c: f.value for c, f in score.class_iou.items()} == pytest.approx(
            result.record.class_iou
        )
        assert score.miou.value in score.miou.interval
    own = row.miou.interval.high - row.miou.interval.low
    one = row.folds[0].miou.interval.high - row.folds[0].miou.interval.low
    assert own < one


def test_an_interval_does_not_depend_on_who_else_is_on_the_board(tmp_path: Path) -> None:
    write_model(tmp_path, "beta", seed=7)
    alone = only_row(tmp_path)
    write_model(tmp_path, "alpha", skill=0.8)
    (setting,) = boards(tmp_path)
    assert [row.model.name for row in setting.rows] == ["alpha", "beta"]
    assert setting.rows[1].miou == alone.miou


def test_a_lacking_fold_is_never_averaged_over(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha", skill=0.9, folds=3)
    write_model(tmp_path, "beta", skill=0.5)
    (setting,) = boards(tmp_path)
    beta, alpha = setting.rows
    assert (alpha.miou, alpha.fb_iou, alpha.ranked) == (None, None, False)
    assert alpha.marks == ("3 of 4 folds",)
    assert sorted(alpha.folds) == [0, 1, 2]
    assert beta.ranked and beta.marks == ()
    assert list(setting.folds) == [0, 1, 2, 3]


def test_a_model_trained_for_one_fold_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, name="alpha", fold=2, trained_fold=2)
    write_run(tmp_path, name="beta", fold=1, trained_fold=1)
    write_run(tmp_path, name="beta", fold=3, trained_fold=3)
    (setting,) = boards(tmp_path)
    assert {row.model.name: row.marks for row in setting.rows} == {
        "alpha": ("trained for fold 2",),
        "beta": ("2 of 4 folds",),  # a checkpoint of each fold: the others can be measured
    }
    assert not any(row.ranked for row in setting.rows)


def test_settings_are_apart_and_in_order(tmp_path: Path) -> None:
    for shots in (10, 5, 1):
        write_run(tmp_path, shots=shots)
        write_run(tmp_path, shots=shots, name="beta", count=10, limit=10)
    write_run(tmp_path, protocol="hsnet")
    write_run(tmp_path, dataset="another")
    found = [(s.dataset, s.protocol.name, s.limit, s.shots) for s in boards(tmp_path)]
    assert found == [
        ("another", "fixed-v1", None, 1),
        ("toy", "fixed-v1", None, 1),
        ("toy", "fixed-v1", None, 5),
        ("toy", "fixed-v1", None, 10),
        ("toy", "fixed-v1", 10, 1),
        ("toy", "fixed-v1", 10, 5),
        ("toy", "fixed-v1", 10, 10),
        ("toy", "hsnet", None, 1),
    ]


@pytest.mark.parametrize(
    ("changes", "strict", "ranked", "marks"),
    [
        ({}, True, True, ()),
        ({"sees_test_classes": "yes"}, False, True, ()),
        ({"sees_test_classes": "partly"}, False, True, ()),
        ({"sees_test_classes": "unknown"}, False, True, ()),
        ({"kind": "floor", "sees_test_classes": "unknown"}, True, False, ("floor",)),
        ({"kind": "oracle", "sees_test_classes": "unknown"}, True, False, ("oracle",)),
        ({"kind": "predictions"}, True, True, ("predictions",)),
        ({"comparable": False}, True, False, ("not comparable",)),
    ],
)
def test_who_is_ranked_with_whom(
    tmp_path: Path, changes: dict, strict: bool, ranked: bool, marks: tuple
) -> None:
    write_model(tmp_path, "alpha", **changes)
    row = only_row(tmp_path)
    assert (row.strict, row.ranked, row.marks) == (strict, ranked, marks)


def test_a_cut_list_is_never_ranked(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha", count=10, limit=10)
    row = only_row(tmp_path)
    assert row.miou is not None and not row.ranked


def test_one_fold_that_saw_test_classes_makes_the_row_a_generalist(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha")
    write_run(tmp_path, fold=2, sees_test_classes="yes")
    assert not only_row(tmp_path).strict


def test_folds_measured_in_different_ways_say_so(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha")
    write_run(tmp_path, fold=2, dtype="bf16", weights_digest="cd" * 32)
    write_run(tmp_path, fold=3, record={"hardware": "Toy GPU"}, parameters=7)
    assert only_row(tmp_path).mixed == ("weights", "model", "dtype", "hardware")


def test_weights_of_each_fold_are_no_difference(tmp_path: Path) -> None:
    for fold in range(4):
        write_run(tmp_path, fold=fold, trained_fold=fold, weights_digest=f"{fold}" * 64)
    assert only_row(tmp_path).mixed == () and only_row(tmp_path).miou is not None


def test_folds_of_other_options_have_no_mean(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha")
    write_run(tmp_path, fold=3, config={"backbone": "large"})
    row = only_row(tmp_path)
    assert (row.miou, row.fb_iou, row.ranked) == (None, None, False)
    assert row.marks == ("folds differ in options",)


def test_nor_is_there_one_of_what_was_asked_beside_mIoU(tmp_path: Path) -> None:
    write_model(tmp_path, "alpha", protocol="absent-v1")
    assert only_row(tmp_path).answers
    write_run(tmp_path, fold=3, config={"backbone": "large"}, protocol="absent-v1")
    assert not only_row(tmp_path).answers


def test_folds_of_different_code_of_the_user_say_so(tmp_path: Path) -> None:
    write_model(tmp_path, "mine", source_digest="1" * 64)
    assert only_row(tmp_path).mixed == ()
    write_run(tmp_path, name="mine", fold=2, source_digest="2" * 64)
    assert only_row(tmp_path).mixed == ("model",)
