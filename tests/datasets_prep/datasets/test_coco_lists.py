import dataclasses
from pathlib import Path

import pytest

from datasets_prep.archives.checksums import hash_file
from datasets_prep.datasets.coco.classes import CATEGORIES, CLASS_OF, CLASSES
from datasets_prep.datasets.coco.lists import check_known, derived_folds, named_images, with_novel
from datasets_prep.datasets.coco.release import COCO2014, FOLDS
from datasets_prep.datasets.coco.report import check_lists, figures
from datasets_prep.episodes.published import expected_digest
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import coco_folds
from datasets_prep.prepared.folds import FoldSet
from datasets_prep.prepared.list_report import REPORT
from datasets_prep.runtime.progress import SILENT

AREAS = {
    "b": {0: 5000, 1: 2047, 4: 2048},
    "a": {4: 9000, 2: 10},
    "train": {0: 3000, 1: 4000, 3: 2048},
}
SPLITS = {"b": "test", "a": "test", "train": "train"}


@pytest.fixture(scope="module")
def published(shared_dir: Path) -> FoldSet:
    """The real lists, from files whose hashes are those of the release."""
    folder = shared_dir / "reference/splits/coco"
    for name, source in COCO2014.fold_lists.items():
        assert hash_file(folder / name).sha256 == source.sha256
    paths = [[folder / f"{part}/fold{fold}.pkl" for fold in range(4)] for part in ("val", "trn")]
    return coco_folds(*paths)


def test_categories_are_in_ascending_order() -> None:
    assert list(CATEGORIES) == sorted(CATEGORIES)
    assert len(CLASSES) == 80
    assert (CLASS_OF[1], CLASS_OF[90], CLASSES[72]) == (0, 79, "refrigerator")


def test_the_published_figures_are_those_of_the_published_lists(published: FoldSet) -> None:
    assert COCO2014.counts is not None
    shown = figures(published, published, {}, COCO2014.counts)
    lists = [figure for figure in shown if not figure.what.startswith("annotated")]
    assert len(lists) == 4 + 4 + 80 + 4 + 80
    assert [str(figure) for figure in lists if figure.ours != figure.published] == []
    by_class = dict(zip(CLASSES, COCO2014.counts.test_per_class, strict=True))
    assert (by_class["hair drier"], by_class["toaster"], by_class["toothbrush"]) == (37, 38, 94)


def test_single_images_are_those_of_the_lists_without_masks(published: FoldSet) -> None:
    one = named_images("coco", published, CLASSES, [1])
    assert len(one) == 11_763
    assert "COCO_val2014_000000507081" in one
    assert expected_digest("coco", published, "hsnet", 0, 1) is not None


def test_derived_pairs_need_2048_pixels_and_come_by_class() -> None:
    folds = derived_folds(AREAS, SPLITS)
    assert [fold.novel[:3] for fold in folds.folds] == [(f, f + 4, f + 8) for f in range(FOLDS)]
    assert folds.folds[0].test == (("b", 0), ("a", 4), ("b", 4))
    assert folds.folds[1].test == ()
    assert folds.folds[0].train == (("train", 1), ("train", 3))
    assert folds.folds[1].train == (("train", 0), ("train", 3))
    assert (folds.lists, folds.query_order) == ("derived", "draw")


def test_novel_policies() -> None:
    folds = derived_folds(AREAS, SPLITS)
    assert with_novel(folds, "ignore", AREAS).folds == folds.folds
    assert with_novel(folds, "ignore", AREAS).novel_in_train == "ignore"
    dropped = with_novel(folds, "drop", AREAS)
    assert [len(fold.train) for fold in dropped.folds] == [0, 0, 3, 0]
    assert [fold.test for fold in dropped.folds] == [fold.test for fold in folds.folds]


def test_the_report_names_every_pair_that_differs(tmp_path: Path) -> None:
    ours = derived_folds(AREAS, SPLITS)
    first = dataclasses.replace(ours.folds[0], test=(("b", 0), ("a", 0)))
    published = dataclasses.replace(ours, folds=(first, *ours.folds[1:]), lists="published")
    checked = check_lists(published, "overlap-last", AREAS, SPLITS, None, tmp_path, SILENT)
    assert checked.notes == (
        "masks overlap-last: test pairs of fold 0: 2 of at least 2048 pixels are not in the "
        "published lists, 1 in the lists are smaller",
        "masks overlap-last: 1 listed pairs have no pixel",
    )
    report = (tmp_path / REPORT).read_text()
    assert "no pixel of\ta\t0 person\t0 pixels\n" in report
    assert "test pairs of fold 0: only here\tb\t4 airplane\t2048 pixels\n" in report
    assert "test pairs of fold 0: only published\ta\t0 person\t0 pixels\n" in report


def test_figures_that_differ_are_counted(tmp_path: Path) -> None:
    folds = derived_folds(AREAS, SPLITS)
    counts = COCO2014.counts
    checked = check_lists(folds, "first-polygon", AREAS, SPLITS, counts, tmp_path, SILENT)
    assert checked.notes == ("masks first-polygon: 174 of 174 published figures are not met",)
    report = (tmp_path / REPORT).read_text()
    assert "test pairs, fold 0: 3 (published 35,783, DIFFERS)\n" in report
    assert "test pairs of toaster: 0 (published 38, DIFFERS)\n" in report


def test_lists_of_other_images_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"without annotations.*\nx\ny"):
        check_known(["y", "a", "x"], AREAS)
