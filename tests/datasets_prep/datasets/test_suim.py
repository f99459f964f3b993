import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets_prep.builder import BuilderOptions
from datasets_prep.datasets.crossdomain.suim import OFFICIAL, Release, Suim
from datasets_prep.datasets.crossdomain.suim_masks import CLASSES, from_colours
from datasets_prep.episodes.recipes import recipes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared import lists as lists_module
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep.crossdomain_fixture import Heard, encoded, noise, run, write_zip

# As SUIM's own page has them.
COLOURS = {
    "HD": (0, 0, 255),
    "PF": (0, 255, 0),
    "WR": (0, 255, 255),
    "RO": (255, 0, 0),
    "RI": (255, 0, 255),
    "FV": (255, 255, 0),
    "SR": (255, 255, 255),
}
HEIGHT, WIDTH = 10, 14
TRAIN = [f"d_r_{n}_" for n in range(1, 43)]
TEST = [f"f_r_{n}_" for n in range(1, 4)]
WATER = "w_r_7_"
SMALL = "n_l_5_"


def labels(image: str) -> NDArray[np.uint8]:
    """The classes that an image shows, by the first digit of its name; one shows water alone."""
    out = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    if image != WATER:
        number = int(image[4:-1])
        out[2:6, 1:6] = number % 7 + 1
        out[5:9, 8:13] = (number + 3) % 7 + 1
    return out


def mask(image: str) -> bytes:
    """As a BMP; the colours of one are not quite right, another is half as large."""
    palette = np.array([(0, 0, 0), *(COLOURS[name] for name in CLASSES)], dtype=np.uint8)
    pixels = palette[labels(image)]
    if image == TRAIN[0]:
        pixels = np.where(pixels == 255, 200, 90).astype(np.uint8)
    return encoded(pixels[::2, ::2] if image == SMALL else pixels, "BMP")


def write_suim(folder: Path, *, nested: bool = False, **changed: bytes) -> Release:
    parts = {"train_val": [*TRAIN, WATER, SMALL], "TEST": TEST}
    sources = {}
    for part, names in parts.items():
        inner = f"{part}/{part}" if nested else part
        files = {
            f"{inner}/images/{i}.jpg": encoded(noise(len(i), HEIGHT, WIDTH), "JPEG") for i in names
        }
        files |= {f"{inner}/masks/{i}.bmp": changed.get(i, mask(i)) for i in names}
        if part == "TEST":  # which has a folder for each class as well
            files |= {f"{inner}/masks/FV/{i}.bmp": b"of no use" for i in names}
        sources[part] = write_zip(folder / f"{part}.zip", files, part)
    held = sum(len(np.unique(labels(i))) - 1 for names in parts.values() for i in names)
    return Release(sources["train_val"], sources["TEST"], {"masks that are not empty": held})


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Release]:
    folder = tmp_path_factory.mktemp("suim")
    return folder, write_suim(folder)


@pytest.fixture(scope="module")
def prepared(
    archives: tuple[Path, Release], tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    folder, release = archives
    return run(Suim(BuilderOptions(), release), tmp_path_factory.mktemp("data"), folder)


def test_both_parts_are_one_test_set(prepared: PreparedDataset) -> None:
    assert prepared.classes == ("FV", "HD", "PF", "RI", "RO", "SR", "WR")
    assert prepared.image_ids == tuple(sorted([*TRAIN, *TEST, WATER, SMALL]))
    for image in {*prepared.image_ids} - {SMALL}:
        np.testing.assert_array_equal(prepared.labels(image), labels(image))
    assert verify(prepared, full=True) == []


def test_a_mask_of_another_size_is_scaled_and_named(prepared: PreparedDataset) -> None:
    assert prepared.manifest["notes"] == [f"masks scaled to their images' size: {SMALL}"]
    halved = labels(SMALL)[::2, ::2]
    np.testing.assert_array_equal(prepared.labels(SMALL), halved.repeat(2, 0).repeat(2, 1))


def test_empty_masks_are_dropped_and_every_other_is_an_episode(prepared: PreparedDataset) -> None:
    (fold,) = prepared.folds.folds
    assert fold.novel == tuple(range(7))
    assert WATER in prepared.image_ids and WATER not in {image for image, _ in fold.test}
    assert len(fold.test) == 2 * (len(prepared.image_ids) - 1)
    episodes = prepared.episodes("hsnet", 0, 1)
    assert len(episodes) == len(fold.test)
    assert [e.class_index for e in episodes[:9]] == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    for episode in episodes:
        for image in (episode.query, *episode.supports):
            assert prepared.mask(image, episode.class_index).any()


@pytest.mark.parametrize("value", [127, 128])
def test_a_channel_counts_from_half_its_range(value: int) -> None:
    pixels = np.array([[[255, value, 10]]], dtype=np.uint8)
    expected = {127: "RO", 128: "FV"}[value]
    assert CLASSES[from_colours(pixels)[0, 0] - 1] == expected


def test_folders_and_nested_copies_serve_as_well(
    archives: tuple[Path, Release], prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder, release = archives
    for archive in folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path / "SUIM")
    builder = Suim(BuilderOptions(), release)
    assert run(builder, tmp_path / "a", tmp_path / "SUIM", jobs=2).digest == prepared.digest
    nested = Suim(BuilderOptions(), write_suim(tmp_path / "nested", nested=True))
    assert run(nested, tmp_path / "b", tmp_path / "nested").digest == prepared.digest


@pytest.fixture
def one_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"hsnet": recipes()["hsnet"]}
    monkeypatch.setattr(lists_module, "recipes", lambda: few)


@pytest.mark.usefixtures("one_recipe")
def test_a_preparation_that_fails_spoils_no_image_of_the_former_one(tmp_path: Path) -> None:
    release = write_suim(tmp_path / "zips")
    for place in ("one", "two"):
        for archive in (tmp_path / "zips").glob("*.zip"):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(tmp_path / place)
    for path in sorted((tmp_path / "two").rglob("images/*.jpg")):
        with Image.open(path) as image:
            ImageOps.flip(image).save(path)
    path.write_bytes(b"torn")
    builder = Suim(BuilderOptions(), release)
    former = run(builder, tmp_path / "data", tmp_path / "one")
    with pytest.raises(DatasetError, match=path.name):
        run(builder, tmp_path / "data", tmp_path / "two")
    assert verify(former, full=True) == []
    shutil.copyfile(tmp_path / "one" / path.relative_to(tmp_path / "two"), path)
    again = run(builder, tmp_path / "data", tmp_path / "two")
    assert again.digest != former.digest and verify(again, full=True) == []


@pytest.mark.usefixtures("one_recipe")
def test_what_to_remove_of_a_damaged_unpacked_archive_is_said(tmp_path: Path) -> None:
    builder = Suim(BuilderOptions(), write_suim(tmp_path / "zips"))
    dataset = run(builder, tmp_path / "data", tmp_path / "zips")
    (path,) = dataset.root.rglob(f"{TEST[0]}.jpg")
    path.unlink()
    path.write_bytes(encoded(noise(9, HEIGHT, WIDTH), "JPEG"))
    wrong, mend = verify(dataset, full=True)
    unpacked = dataset.root / "raw/TEST"
    assert str(path) in wrong and mend.startswith(f"remove {unpacked} first")
    shutil.rmtree(unpacked)
    again = run(builder, tmp_path / "data", tmp_path / "zips")
    assert again.digest == dataset.digest and verify(again, full=True) == []


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    write_suim(tmp_path)
    for part in ("train_val", "TEST"):
        with zipfile.ZipFile(tmp_path / f"{part}.zip") as opened:
            opened.extractall(tmp_path / "SUIM")
    top = tmp_path / "SUIM"
    (top / "train_val/masks/d_r_3_.bmp").unlink()
    (top / "TEST/images/f_r_2_.jpg").rename(top / "TEST/images/d_r_1_.jpg")
    with pytest.raises(DatasetError) as caught:
        run(Suim(BuilderOptions()), tmp_path / "data", top)
    message = str(caught.value)
    assert "d_r_3_.jpg has no mask" in message
    assert "f_r_2_.bmp has no image" in message
    assert "d_r_1_.jpg and" in message and "have one name" in message


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    release = write_suim(tmp_path, d_r_2_=mask("d_r_2_")[:80])
    with pytest.raises(DatasetError, match=r"d_r_2_\.bmp is not a readable image"):
        run(Suim(BuilderOptions(), release), tmp_path / "data", tmp_path)


def test_other_counts_than_the_published_ones_are_said(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    folder, release = archives
    release = Release(release.train_val, release.test, OFFICIAL.counts)
    heard = Heard()
    run(Suim(BuilderOptions(), release), tmp_path, folder, progress=heard)
    assert heard.notes == [
        "images: 47 (published 1,635, DIFFERS)",
        "masks that are not empty: 92 (published 3,859, DIFFERS)",
    ]


def test_the_parts_must_be_brought(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"train_val\.zip(.|\n)*TEST\.zip"):
        run(Suim(BuilderOptions()), tmp_path / "data", tmp_path)
