import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from datasets_prep.datasets.coco2pascal import (
    Coco2Pascal,
    Coco2PascalOptions,
    make_folds,
    novel_classes,
)
from datasets_prep.datasets.pascal.release import CLASSES
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from tests.datasets_prep.pascal_fixture import SPARSE, TinyPascal, write_tiny_pascal


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyPascal:
    """VOC's archive alone."""
    tiny = write_tiny_pascal(tmp_path_factory.mktemp("archives"))
    (tiny.folder / "tiny-sbd.tgz").unlink()
    shutil.rmtree(tiny.folder / "pascal")
    return tiny


def run(tiny: TinyPascal, data_root: Path, from_dir: Path, **options: bool) -> PreparedDataset:
    builder = Coco2Pascal(Coco2PascalOptions(**options), tiny.release)
    return prepare(builder, PrepareOptions(data_root, from_dir, shots=(1,)))


def test_the_intended_classes_are_those_of_the_published_figure() -> None:
    assert [[CLASSES[index] for index in fold] for fold in novel_classes(False)] == [
        ["aeroplane", "boat", "chair", "diningtable", "dog", "person"],
        ["bicycle", "bus", "horse", "sofa"],
        ["bird", "car", "pottedplant", "sheep", "train", "tvmonitor"],
        ["bottle", "cat", "cow", "motorbike"],
    ]


def test_the_released_code_swaps_car_and_cat() -> None:
    voc_ids = [[index + 1 for index in fold] for fold in novel_classes(True)]
    assert voc_ids == [
        [1, 4, 9, 11, 12, 15],
        [2, 6, 13, 18],
        [3, 8, 16, 17, 19, 20],
        [5, 7, 10, 14],
    ]


def test_pairs_need_2048_pixels_and_keep_the_order_of_images() -> None:
    areas = {"a": {0: 2047, 3: 2048, 6: 4000}, "b": {0: 9000, 7: 5000}}
    folds = make_folds(False, areas, {"a": "test", "b": "test"})
    assert [fold.test for fold in folds.folds] == [
        (("a", 3), ("b", 0)),
        (),
        (("a", 6),),
        (("b", 7),),
    ]
    assert all(fold.train == () and len(fold.base) == 20 - len(fold.novel) for fold in folds.folds)
    swapped = make_folds(True, areas, {"a": "test", "b": "test"}).folds
    assert (swapped[2].test, swapped[3].test) == ((("b", 7),), (("a", 6),))


def test_vocs_val_images_alone_are_prepared(tiny: TinyPascal, tmp_path: Path) -> None:
    dataset = run(tiny, tmp_path, tiny.folder)
    assert dataset.image_ids == tiny.val
    for image in tiny.val:
        np.testing.assert_array_equal(dataset.labels(image), tiny.voc[image])
    tested = {pair for fold in dataset.folds.folds for pair in fold.test}
    assert tested == {*(pair for pair in tiny.test_pairs if pair[0] in tiny.val)}
    assert (SPARSE, 2) in tested
    for fold in range(4):
        for recipe in ("hsnet", "fixed-v1"):
            episodes = dataset.episodes(recipe, fold, 1)
            assert {e.class_index for e in episodes} == set(dataset.folds.folds[fold].novel)
    assert verify(dataset, full=True) == []


def test_the_choice_of_classes_is_in_the_digest(tiny: TinyPascal, tmp_path: Path) -> None:
    intended = run(tiny, tmp_path / "a", tiny.folder)
    compat = run(tiny, tmp_path / "b", tiny.folder, repri_compat=True)
    assert compat.digest != intended.digest
    assert compat.manifest["builder"]["options"] == {"repri_compat": True}
    assert compat.folds.lists == "repri"


def test_what_pascal_has_extracted_serves_as_well(tiny: TinyPascal, tmp_path: Path) -> None:
    extracted = tmp_path / "pascal/raw/VOCtrainval"
    with tarfile.open(tiny.folder / "tiny-voc.tar") as tar:
        # Python 3.11.2 and older know no filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(extracted)  # noqa: S202 - an archive of the test's own
    dataset = run(tiny, tmp_path / "data", extracted)
    kept = {path.stem for path in (dataset.root / "raw/JPEGImages").iterdir()}
    assert kept == set(tiny.val)
    (extracted / "VOCdevkit/VOC2012/JPEGImages" / f"{SPARSE}.jpg").unlink()
    with pytest.raises(DatasetError, match=f"files are missing:\n.*{SPARSE}.jpg"):
        run(tiny, tmp_path / "other", extracted)
