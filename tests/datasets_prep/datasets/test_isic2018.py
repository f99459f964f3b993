import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets_prep.datasets.crossdomain.isic2018 import (
    CLASSES,
    TASK1,
    Isic2018,
    Isic2018Options,
    Release,
    read_classes,
)
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep.crossdomain_fixture import (
    Heard,
    encoded,
    grey,
    noise,
    run,
    write_source,
    write_zip,
)

INPUT = "ISIC2018_Task1-2_Training_Input"
TRUTH = "ISIC2018_Task1_Training_GroundTruth"
SIZES = {f"ISIC_{n:07d}": (8 + n, 12) for n in range(18)}
NAMES = CLASSES["gf-sam"]


def lesion(image_id: str) -> NDArray[np.bool_]:
    height, width = SIZES[image_id]
    mask = np.zeros((height, width), dtype=bool)
    mask[2:5, 3 : 6 + height // 4] = True
    return mask


def write_isic(folder: Path, **changed: bytes) -> Release:
    """Eighteen images, six of each class by their number; `changed` masks by image id."""
    images = {
        f"{INPUT}/{image}.jpg": encoded(noise(n, *size), "JPEG")
        for n, (image, size) in enumerate(SIZES.items())
    }
    images[f"{INPUT}/ATTRIBUTION.txt"] = b"who took them"
    masks = {
        f"{TRUTH}/{image}_segmentation.png": changed.get(image, encoded(grey(lesion(image)), "PNG"))
        for image in SIZES
    }
    table = "ID,Class\n" + "".join(f"{i},{NAMES[n % 3]}\n" for n, i in enumerate(SIZES))
    return Release(
        images=write_zip(folder / f"{INPUT}.zip", images, INPUT),
        masks=write_zip(folder / f"{TRUTH}.zip", masks, TRUTH),
        classes=write_source(folder / "class_id.csv", table.encode()),
        counts=dict.fromkeys(NAMES, 6),
    )


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Release]:
    folder = tmp_path_factory.mktemp("isic")
    return folder, write_isic(folder)


def prepared(archives: tuple[Path, Release], root: Path, **options: str) -> PreparedDataset:
    folder, release = archives
    return run(Isic2018(Isic2018Options.model_validate(options), release), root, folder)


def test_every_lesion_has_the_class_of_its_diagnosis(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    dataset = prepared(archives, tmp_path)
    assert dataset.classes == ("nevus", "melanoma", "seborrheic_keratosis")
    assert dataset.image_ids == tuple(SIZES)
    for number, image in enumerate(SIZES):
        expected = np.where(lesion(image), number % 3 + 1, 0)
        np.testing.assert_array_equal(dataset.labels(image), expected)
    assert verify(dataset, full=True) == []
    assert dataset.manifest["notes"] == []


def test_there_is_one_fold_that_takes_the_classes_in_turn(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    dataset = prepared(archives, tmp_path)
    (fold,) = dataset.folds.folds
    assert (fold.base, fold.novel, fold.train) == ((), (0, 1, 2), ())
    assert fold.test == tuple((image, n % 3) for n, image in enumerate(SIZES))
    episodes = dataset.episodes("hsnet", 0, 5)
    assert [e.class_index for e in episodes] == [0, 1, 2] * 200
    assert {e.query for e in episodes} == set(SIZES)
    assert len(dataset.episodes("fixed-v1", 0, 5)) == 1002


def test_the_other_numbering_is_another_order_of_the_same_classes(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    other = prepared(archives, tmp_path, numbering="dr-adapter")
    assert other.classes == ("seborrheic_keratosis", "nevus", "melanoma")
    first = next(iter(SIZES))
    assert other.mask(first, 1).sum() == lesion(first).sum()
    assert other.mask(first, 0).sum() == 0


def test_folders_sorted_by_class_or_linked_serve_as_well_and_are_copied(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    folder, release = archives
    mine = tmp_path / "mine"
    for archive in folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(mine)
    for number, image in enumerate(SIZES):
        target = mine / INPUT / str(number % 3 + 1) / f"{image}.jpg"
        target.parent.mkdir(exist_ok=True)
        (mine / INPUT / f"{image}.jpg").rename(target)
    (mine / INPUT / "2").rename(tmp_path / "elsewhere")
    (mine / INPUT / "2").symlink_to(tmp_path / "elsewhere")
    (mine / "class_id.csv").write_bytes((folder / "class_id.csv").read_bytes())
    from_folders = run(Isic2018(Isic2018Options(), release), tmp_path / "a", mine)
    assert from_folders.digest == prepared(archives, tmp_path / "b").digest
    assert verify(from_folders, full=True) == []


def test_jobs_change_nothing(archives: tuple[Path, Release], tmp_path: Path) -> None:
    folder, release = archives
    two = run(Isic2018(Isic2018Options(), release), tmp_path / "two", folder, jobs=2)
    assert two.digest == prepared(archives, tmp_path / "one").digest


def test_every_wrong_mask_is_named(tmp_path: Path) -> None:
    small = encoded(grey(np.ones((3, 4), dtype=bool)), "PNG")
    release = write_isic(tmp_path, ISIC_0000001=small, ISIC_0000004=b"no image")
    with pytest.raises(DatasetError) as caught:
        run(Isic2018(Isic2018Options(), release), tmp_path / "data", tmp_path)
    assert "ISIC_0000001.jpg is 12×9, but" in str(caught.value)
    assert "ISIC_0000004_segmentation.png is not a readable image" in str(caught.value)
    assert not (tmp_path / "data" / "isic2018" / "manifest.json").exists()


def test_images_and_table_must_fit(tmp_path: Path) -> None:
    release = write_isic(tmp_path)
    table = "ID,Class\nISIC_0000000,nevus\nISIC_0000077,melanoma\n"
    source = write_source(tmp_path / "class_id.csv", table.encode())
    release = Release(release.images, release.masks, source)
    with pytest.raises(DatasetError) as caught:
        run(Isic2018(Isic2018Options(), release), tmp_path / "data", tmp_path)
    assert "ISIC_0000001.jpg is not in the class table" in str(caught.value)
    assert "ISIC_0000077.jpg is missing" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["ID,Class\na,nevus\nb,mole\n", "ID,Class\na,nevus\na,nevus\n", "x,y\n1,2\n", "ID,Class\n\x00"],
)
def test_a_wrong_table_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "class_id.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"class_id\.csv, line \d: expected a new image"):
        read_classes(path, NAMES)


def test_counts_that_are_not_the_published_ones_are_said(tmp_path: Path) -> None:
    release = write_isic(tmp_path)
    release = Release(release.images, release.masks, release.classes, {"nevus": 1_867})
    heard = Heard()
    builder = Isic2018(Isic2018Options(), release)
    dataset = run(builder, tmp_path / "data", tmp_path, progress=heard)
    assert heard.notes == ["nevus: 6 (published 1,867, DIFFERS)"]
    assert heard.notes[0] in dataset.manifest["notes"]


def test_the_release_is_what_the_fact_sheets_say() -> None:
    assert sum(TASK1.counts.values()) == 2_594
    assert all(source.sha256 and source.urls for source in (TASK1.images, TASK1.masks))
