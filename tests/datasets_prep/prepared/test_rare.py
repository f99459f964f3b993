"""Classes with too few images: out of the lists by name, and nothing else changes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from datasets_prep.datasets.folder.builder import Folder
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.episodes.recipes import USUAL, recipes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared import lists as lists_module
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.folds import FoldSet, contiguous, split
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from datasets_prep.prepared.rare import without_rare
from tests.datasets_prep import folders
from tests.datasets_prep.folders import CLASSES, photo, write
from tests.datasets_prep.toy import Toy

quick = folders.quick
HELD = {"cat": 9, "dog": 3, "fox": 7, "owl": 1}  # images of each


def fold_set(held: Sequence[int], folds: int, group: str | None = None) -> FoldSet:
    pairs = [(f"g{i % 3}_{i}", index) for index, count in enumerate(held) for i in range(count)]
    return FoldSet(split(contiguous(len(held), folds), pairs, pairs), group=group)


def test_nothing_changes_where_all_classes_have_images_enough() -> None:
    folds = fold_set([6, 7, 8, 9], 2)
    assert without_rare(folds, CLASSES, (1, 5)) == folds


def test_each_list_has_the_classes_that_it_can_test() -> None:
    folds = fold_set([9, 3, 7, 1], 2)
    kept = without_rare(folds, CLASSES, (1, 5))
    assert [kept.fold(0, k).novel for k in (1, 5)] == [(0, 1), (0,)]
    assert [kept.fold(1, k).novel for k in (1, 5)] == [(2,), (2,)]
    assert [fold.base for fold in kept.folds] == [(2, 3), (0, 1)]
    assert {index for _, index in kept.fold(0, 5).test} == {0}
    assert kept.folds[0].train == folds.folds[0].train
    assert kept.notes == (
        "left out of the 1-shot lists, which need 2 images of a class: owl (1)",
        "left out of the 5-shot lists, which need 6 images of a class: dog (3), owl (1)",
    )


def test_a_least_number_holds_for_all_lists() -> None:
    kept = without_rare(fold_set([9, 3, 7, 1], 2), CLASSES, (1, 5), min_images=8)
    assert [fold.novel for fold in kept.folds] == [(0,)]
    assert [fold.index for fold in kept.folds] == [0] and not kept.of_shots
    assert kept.notes == (
        "left out of the lists, in fewer than 8 images: dog (3), fox (7), owl (1)",
        "dropped, as no class is left of it: fold 1 of 2; the 1 others are numbered anew",
    )


def test_related_images_are_no_supports() -> None:
    """Seven images in three groups, of three, two and two: four beside each of the first."""
    folds = fold_set([7, 9], 1, group="^([^_]+)")
    assert without_rare(folds, CLASSES, (4,)).folds[0].novel == (0, 1)
    assert without_rare(folds, CLASSES, (5,)).folds[0].novel == (1,)


def test_a_class_left_out_on_purpose_is_in_no_list() -> None:
    kept = without_rare(fold_set([9, 9, 9, 9], 4), CLASSES, (1,), without=[1])
    assert [fold.novel for fold in kept.folds] == [(0,), (2,), (3,)]
    assert [fold.index for fold in kept.folds] == [0, 1, 2]
    assert [fold.base for fold in kept.folds] == [(2, 3), (0, 3), (0, 2)]
    assert not [pair for fold in kept.folds for pair in (*fold.train, *fold.test) if pair[1] == 1]


def test_no_class_at_all_is_an_error_with_counts() -> None:
    with pytest.raises(DatasetError, match=r"needs 2 images of a class.* cat \(1\), dog \(0\)"):
        without_rare(fold_set([1, 0], 1), CLASSES, (1, 5))


def folder(top: Path, root: Path, **options: object) -> PreparedDataset:
    """A folder whose classes are as rare as `HELD` says."""
    for number, name in enumerate(HELD):
        for index in range(HELD[name]):
            labels = np.zeros((8, 10), np.uint8)
            labels[2:5, 2:5] = number + 1
            write(top / f"images/{name}{index}.png", photo(10 * number + index))
            write(top / f"labels/{name}{index}.png", labels)
    given = {"folder": top, "name": "mine", "classes": CLASSES, "folds": 2} | options
    return prepare(Folder(FolderOptions(**given)), PrepareOptions(root))  # type: ignore[arg-type]


def test_a_folder_with_rare_classes_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "recipes", recipes)
    dataset = folder(tmp_path / "in", tmp_path / "data")
    usual = [name for name in dataset.manifest["episodes"] if name.split("/")[0] in USUAL]
    assert len(usual) == 2 * 2 * len(USUAL)
    tested = {k: {e.class_index for e in dataset.episodes("fixed-v1", 0, k)} for k in (1, 5)}
    assert tested == {1: {0, 1}, 5: {0}}
    assert any("dog (3), owl (1)" in note for note in dataset.manifest["notes"])
    assert dataset.image_ids and (dataset.mask("owl0", 3) == 1).sum() == 9


def test_options_reach_the_lists(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "in", tmp_path / "data", min_images=4, without=("fox",))
    assert [fold.novel for fold in dataset.folds.folds] == [(0,)]
    with pytest.raises(DatasetError, match="--without cow: no such class; there are cat, dog"):
        folder(tmp_path / "in", tmp_path / "data", without=("cow",))
    with pytest.raises(DatasetError, match="a 1-shot list needs 10 images"):
        folder(tmp_path / "in", tmp_path / "data", min_images=10)


def test_a_preparation_without_any_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no episode list can be drawn") as caught:
        prepare(Toy(images=4, folds=1), PrepareOptions(tmp_path, shots=(5,)))
    assert "toy fold 0: class 'cat' has " in str(caught.value)
    assert not (tmp_path / "toy/manifest.json").exists()
