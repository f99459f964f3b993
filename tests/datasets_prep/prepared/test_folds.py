import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import (
    Fold,
    FoldSet,
    contiguous,
    interleaved,
    read_folds,
    split,
    to_json,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
PAIRS = st.lists(st.tuples(NAMES, st.integers(0, 11)), max_size=30)


def test_the_published_partitions() -> None:
    assert contiguous(20, 4)[3] == (15, 16, 17, 18, 19)
    assert interleaved(80, 4)[1] == tuple(range(1, 80, 4))
    assert contiguous(11, 4) == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10)]


@given(classes=st.integers(1, 90), folds=st.integers(1, 9))
def test_partitions_hold_every_class_once_in_even_parts(classes: int, folds: int) -> None:
    for partition in (contiguous(classes, folds), interleaved(classes, folds)):
        assert len(partition) == folds
        assert sorted(index for part in partition for index in part) == list(range(classes))
        sizes = [len(part) for part in partition]
        assert max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)


@given(train=PAIRS, test=PAIRS, folds=st.integers(1, 4))
def test_split_keeps_novel_out_of_training_and_orders_as_they_are(
    train: list[tuple[str, int]], test: list[tuple[str, int]], folds: int
) -> None:
    parts = split(contiguous(12, folds), train, test)
    for fold in parts:
        assert sorted(fold.base + fold.novel) == list(range(12))
        assert list(fold.train) == [pair for pair in train if pair[1] in fold.base]
        assert list(fold.test) == [pair for pair in test if pair[1] in fold.novel]
        for index in fold.novel:
            assert list(fold.images_of[index]) == [image for image, c in test if c == index]
    assert sorted(pair for fold in parts for pair in fold.test) == sorted(test)


@given(
    train=PAIRS,
    test=PAIRS,
    order=st.sampled_from(["walk", "draw"]),
    published=st.none() | st.just("pairs") | st.integers(1, 9),
    group=st.none() | NAMES,
    candidates=st.none() | st.dictionaries(st.integers(0, 11), st.lists(NAMES, max_size=3)),
    shots=st.lists(st.integers(1, 20), max_size=2),
)
def test_json_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    train: list[tuple[str, int]],
    test: list[tuple[str, int]],
    order: str,
    published: int | str | None,
    group: str | None,
    candidates: dict[int, list[str]] | None,
    shots: list[int],
) -> None:
    images = candidates and {index: tuple(names) for index, names in candidates.items()}
    fold = Fold(0, (0,), (1, 2), tuple(train), tuple(test), images)
    of_shots = {count: (replace(fold, novel=(count,)),) for count in shots}
    folds = FoldSet((fold,), order, published, group, "derived", "drop", ("note",), of_shots)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("folds") / "folds.json"
    path.write_text(to_json(folds), encoding="utf-8")
    again = read_folds(path)
    assert again == folds
    assert to_json(again) == to_json(folds)


def test_a_fold_may_depend_on_the_number_of_supports() -> None:
    few, many = Fold(0, (1,), (0,), (), ()), Fold(0, (0,), (1,), (), ())
    folds = FoldSet((few,), of_shots={5: (many,)})
    assert [folds.fold(0, shots).novel for shots in (None, 1, 5, 6)] == [(0,), (0,), (1,), (0,)]
    with pytest.raises(DatasetError, match="no fold 1"):
        folds.fold(1, 5)
    assert "of_shots" not in to_json(replace(folds, of_shots={}))


def test_candidates_stand_in_for_test_order() -> None:
    fold = Fold(0, (), (5,), (), (("b", 5), ("a", 5)), {5: ("a", "b")})
    assert fold.images_of[5] == ("a", "b")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"folds": 3}'])
def test_a_file_that_is_no_fold_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"folds\.json is not a fold file"):
        read_folds(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    body = json.loads(to_json(FoldSet(())))
    del body["query_order"]
    path.write_text(json.dumps(body))
    with pytest.raises(DatasetError, match="query_order"):
        read_folds(path)


def test_groups_come_from_the_first_group_of_the_expression() -> None:
    assert FoldSet(()).group_of("0001TP_006690") == "0001TP_006690"
    folds = FoldSet((), group="^([^_]+)_(.*)")
    assert folds.group_of("0001TP_006690") == "0001TP"
    with pytest.raises(DatasetError, match="no first group in image id 'plain'"):
        folds.group_of("plain")
    with pytest.raises(DatasetError, match="no first group"):
        FoldSet((), group="^[^_]+").group_of("a_b")


def test_an_unknown_fold_names_those_there_are() -> None:
    folds = FoldSet(split(contiguous(4, 2), [], []))
    assert folds.fold(1).novel == (2, 3)
    for wrong in (-1, 2):
        with pytest.raises(DatasetError, match=f"no fold {wrong}: folds are 0..1"):
            folds.fold(wrong)
