import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.builder import BuilderOptions
from datasets_prep.datasets.crossdomain.crops import COLOURS, crop_labels
from datasets_prep.datasets.crossdomain.deepglobe import CLASSES, KAGGLE, DeepGlobe, Release
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep.crossdomain_fixture import Heard, encoded, noise, run, write_zip

CROP = 10
SIDE = 6 * CROP
TILES = ("855", "8554", "10452")
UNKNOWN = (0, 0, 0)


def halves(left: tuple[int, ...], right: tuple[int, ...], share: float = 0.5) -> NDArray[np.uint8]:
    """A crop's mask with `share` of its columns in the left colour."""
    out = np.empty((CROP, CROP, 3), dtype=np.uint8)
    cut = round(share * CROP)
    out[:, :cut], out[:, cut:] = left, right
    return out


def tile_mask(number: int) -> NDArray[np.uint8]:
    """Each class beside the next down the diagonal; elsewhere what is not kept."""
    out = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    out[:] = COLOURS[number]
    for place in range(6):
        here = slice(place * CROP, (place + 1) * CROP)
        out[here, here] = halves(COLOURS[place], COLOURS[(place + 1 + number) % 6])
    if number == 0:
        out[:CROP, CROP : 2 * CROP] = halves(UNKNOWN, COLOURS[4])
        out[0, 2 * CROP] = COLOURS[3]  # 1 % of a crop
    return out


def write_tiles(folder: Path, **changed: bytes) -> Release:
    files = {"class_dict.csv": b"name,r,g,b\n", "valid/1_sat.jpg": b"has no mask"}
    for number, tile in enumerate(TILES):
        files[f"train/{tile}_sat.jpg"] = encoded(noise(number, SIDE, SIDE), "JPEG")
        files[f"train/{tile}_mask.png"] = encoded(tile_mask(number), "PNG")
    files |= {f"train/{name[1:].replace('__', '.')}": data for name, data in changed.items()}
    return Release(write_zip(folder / KAGGLE.archive.name, files, "train"), SIDE, len(TILES))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Release]:
    folder = tmp_path_factory.mktemp("deepglobe")
    return folder, write_tiles(folder)


@pytest.fixture(scope="module")
def prepared(
    archives: tuple[Path, Release], tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    folder, release = archives
    return run(DeepGlobe(BuilderOptions(), release), tmp_path_factory.mktemp("data"), folder)


def test_crops_of_more_than_one_colour_are_kept_in_the_order_of_their_names(
    prepared: PreparedDataset,
) -> None:
    diagonal = [f"{place}{place}" for place in range(6)]
    expected = [f"{tile}_{place}" for tile in TILES for place in diagonal] + ["855_01"]
    assert prepared.image_ids == tuple(sorted(expected))
    assert prepared.classes == CLASSES


def test_labels_and_pixels_are_the_tiles_own(prepared: PreparedDataset, tmp_path: Path) -> None:
    for number, tile in enumerate(TILES):
        for place in range(6):
            labels = prepared.labels(f"{tile}_{place}{place}")
            assert set(labels[:, : CROP // 2].ravel()) == {place + 1}
            assert set(labels[:, CROP // 2 :].ravel()) == {(place + 1 + number) % 6 + 1}
    path = tmp_path / "tile.jpg"
    path.write_bytes(encoded(noise(1, SIDE, SIDE), "JPEG"))
    whole = np.asarray(Image.open(path))
    crop = np.asarray(prepared.image("8554_22"))
    np.testing.assert_array_equal(crop, whole[2 * CROP : 3 * CROP, 2 * CROP : 3 * CROP])
    assert verify(prepared, full=True) == []


def test_unknown_counts_as_a_colour_but_is_no_class(prepared: PreparedDataset) -> None:
    labels = prepared.labels("855_01")
    assert set(np.unique(labels)) == {0, 5}
    assert [index for image, index in prepared.folds.folds[0].test if image == "855_01"] == [4]


def test_one_fold_that_takes_the_classes_in_turn(prepared: PreparedDataset) -> None:
    (fold,) = prepared.folds.folds
    assert (fold.base, fold.novel) == ((), tuple(range(6)))
    episodes = prepared.episodes("hsnet", 0, 1)
    assert [e.class_index for e in episodes] == list(range(6)) * 100


def test_the_number_of_crops_is_said_beside_the_published_ones(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    folder, release = archives
    heard = Heard()
    release = Release(release.archive, release.side, tiles=803)
    dataset = run(DeepGlobe(BuilderOptions(), release), tmp_path, folder, progress=heard)
    assert heard.notes[0] == "labelled tiles: 3 (published 803, DIFFERS)"
    assert heard.notes[1].startswith("19 crops are kept; the paper has 5,666, and a user")
    assert heard.notes[1].endswith("9,174")
    assert dataset.manifest["notes"][:2] == heard.notes


def test_jobs_and_folders_change_nothing(
    archives: tuple[Path, Release], prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder, release = archives
    builder = DeepGlobe(BuilderOptions(), release)
    assert run(builder, tmp_path / "two", folder, jobs=2).digest == prepared.digest
    with zipfile.ZipFile(folder / release.archive.name) as opened:
        opened.extractall(tmp_path / "mine")
    assert run(builder, tmp_path / "folder", tmp_path / "mine").digest == prepared.digest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"_8554_sat__jpg": encoded(noise(0, SIDE, 50), "JPEG")}, "8554_sat.jpg is 50×60, not"),
        ({"_8554_mask__png": encoded(noise(0, 9, SIDE), "PNG")}, "8554_mask.png is 60×9, not"),
        ({"_8554_mask__png": b"?"}, "8554_mask.png is not a readable image"),
        ({"_77_mask__png": b"?"}, "77_sat.jpg"),
    ],
)
def test_a_wrong_file_is_named(changed: dict[str, bytes], message: str, tmp_path: Path) -> None:
    release = write_tiles(tmp_path, **changed)
    with pytest.raises(DatasetError) as caught:
        run(DeepGlobe(BuilderOptions(), release), tmp_path / "data", tmp_path)
    assert message in str(caught.value)
    assert not (tmp_path / "data" / "deepglobe" / "manifest.json").exists()


def test_the_colour_order_is_rgb_and_not_opencvs() -> None:
    published = [  # blue, green, red
        (0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255),
    ]  # fmt: skip
    assert [colour[::-1] for colour in COLOURS] == published
    assert COLOURS[CLASSES.index("water")] == (0, 0, 255)
    assert COLOURS[CLASSES.index("urban")] == (0, 255, 255)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 408 * 408), second=st.integers(0, 408 * 408))
def test_a_crop_is_kept_by_the_published_rule(first: int, second: int) -> None:
    flat = np.zeros((166464, 3), dtype=np.uint8)
    flat[:first] = COLOURS[0]
    flat[first : first + second] = COLOURS[4]
    shown = min(second, 166464 - first)
    counts = [count for count in (first, shown, 166464 - first - shown) if count]
    kept = len(counts) > 1 and min(count / 166464 for count in counts) > 0.048
    assert (crop_labels(flat.reshape(408, 408, 3)) is not None) == kept


def test_a_colour_of_no_class_is_background() -> None:
    labels = crop_labels(halves((1, 2, 3), COLOURS[5]))
    assert labels is not None
    assert set(np.unique(labels)) == {0, 6}
