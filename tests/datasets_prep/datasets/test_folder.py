"""A folder of the user's own, prepared: label maps, masks, folds, groups and copies."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep import folders
from tests.datasets_prep.folders import (
    CLASSES,
    HEIGHT,
    WIDTH,
    label_map,
    make,
    names,
    photo,
    write,
    write_masks,
)

quick, top = folders.quick, folders.top


# Label maps


def test_label_maps_are_kept_as_they_are(top: Path, tmp_path: Path) -> None:
    dataset = make(top, tmp_path / "data")
    assert dataset.classes == CLASSES
    assert list(dataset.image_ids) == names(top)
    for name in dataset.image_ids:
        index = int(name[3:])
        assert np.array_equal(np.asarray(dataset.image(name)), photo(index))
        assert np.array_equal(dataset.labels(name), label_map(index))
    assert verify(dataset, full=True) == []


def test_without_background_class_i_is_value_i(top: Path, tmp_path: Path) -> None:
    for path in (top / "labels").iterdir():
        labels = np.full((HEIGHT, WIDTH), 9, dtype=np.uint8)
        labels[2:], labels[5:] = 0, 3
        write(path, labels)
    dataset = make(top, tmp_path / "data", background=False, ignore=(9,))
    stored = dataset.labels("s0_00")
    assert stored[0, 0] == 255 and stored[2, 0] == 1 and stored[7, 0] == 4
    assert np.array_equal(dataset.mask("s0_00", 3) == 1, np.arange(8)[:, None] >= [5] * 10)


def palette(array: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(array).convert("P")
    image.putdata(array.ravel().tolist())
    image.putpalette([(255 - value) % 256 for value in range(768)])
    return image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
@pytest.mark.parametrize("kind", ["L", "P", "I;16"])
def test_kinds_of_label_files(kind: str, suffix: str, top: Path, tmp_path: Path) -> None:
    if (kind, suffix) == ("I;16", ".bmp"):
        pytest.skip("BMP has no 16-bit grey")
    for path in list((top / "labels").iterdir()):
        array = label_map(int(path.stem[3:]))
        path.unlink()
        image = palette(array) if kind == "P" else Image.fromarray(array)
        if kind == "I;16":
            image = Image.fromarray(array.astype(np.uint16))
        image.save(path.with_suffix(suffix))
        with Image.open(path.with_suffix(suffix)) as saved:
            assert saved.mode == kind
    dataset = make(top, tmp_path / "data")
    for name in dataset.image_ids:
        assert np.array_equal(dataset.labels(name), label_map(int(name[3:])))


def test_kinds_of_images(top: Path, tmp_path: Path) -> None:
    kinds = [".jpg", ".JPEG", ".png", ".bmp", ".tif", ".tiff"]
    for path, suffix in zip(sorted((top / "images").iterdir())[:6], kinds, strict=True):
        content = Image.open(path).convert("L" if suffix == ".bmp" else "RGB")
        path.unlink()
        content.save(path.with_suffix(suffix))
    write(top / "images/s2_11.png", np.dstack([photo(9), photo(9)[..., :1]]))  # with transparency
    dataset = make(top, tmp_path / "data")
    assert len(dataset.image_ids) == 12
    assert all(dataset.image(name).mode == "RGB" for name in dataset.image_ids)
    assert np.array_equal(np.asarray(dataset.image("s2_11")), photo(9))
    assert verify(dataset, full=True) == []


def test_folders_below_become_part_of_the_id(top: Path, tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        for path in list((top / kind).iterdir()):
            below = top / kind / path.stem[:2]
            below.mkdir(exist_ok=True)
            path.rename(below / path.name[3:])
    (top / "images/.DS_Store").write_bytes(b"x")
    (top / "labels/s0/Thumbs.db").write_bytes(b"x")
    dataset = make(top, tmp_path / "data", group="^(s[0-9])/")
    assert dataset.image_ids[0] == "s0/00" and len(dataset.image_ids) == 12
    for episode in dataset.episodes("fixed-v1", 0, 1):
        assert episode.query[:3] != episode.supports[0][:3]


# Masks


def test_masks_that_do_not_overlap_become_label_maps(top: Path, tmp_path: Path) -> None:
    plain = make(top, tmp_path / "plain")
    write_masks(top, {name: index for index, name in enumerate(CLASSES)})
    dataset = make(top, tmp_path / "data", classes=None, ignore=(128,))
    assert dataset.classes == CLASSES
    assert dataset.digest == plain.digest
    order = ("owl", "cat", "fox", "dog")
    ordered = make(top, tmp_path / "ordered", classes=order, ignore=(128,))
    assert ordered.classes == order
    for name in ordered.image_ids:
        labels = label_map(int(name[3:]))
        assert np.array_equal(ordered.mask(name, 0) == 1, labels == 4)
        assert np.array_equal(ordered.mask(name, 1) == 1, labels == 1)


def test_masks_that_overlap_are_kept_apart(top: Path, tmp_path: Path) -> None:
    write_masks(top, {name: index for index, name in enumerate(CLASSES)}, overlap=True)
    dataset = make(top, tmp_path / "data", classes=None)
    for name in dataset.image_ids:
        labels = label_map(int(name[3:]))
        for index in range(4):
            expected = labels == index + 1
            if expected.any():
                expected[1:7, 3] = True
            assert np.array_equal(dataset.mask(name, index), expected)
    assert verify(dataset, full=True) == []


def test_more_classes_than_a_label_map_can_hold(top: Path, tmp_path: Path) -> None:
    shutil.rmtree(top / "labels")
    for index in range(300):
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        mask[index % HEIGHT] = 1
        for image in (index, index + 1):
            write(top / f"masks/c{index:03d}/{names(top)[image % 12]}.png", mask)
    dataset = make(top, tmp_path / "data", classes=None)
    assert len(dataset.classes) == 300
    image = names(top)[299 % 12]
    assert np.array_equal(np.flatnonzero(dataset.mask(image, 299).any(axis=1)), [299 % HEIGHT])


def test_ignored_pixels_cannot_stand_beside_so_many_classes(top: Path, tmp_path: Path) -> None:
    shutil.rmtree(top / "labels")
    for index in range(255):
        for place, image in enumerate((index, index + 1)):
            mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
            mask.flat[2 * (image // 12) + place] = 1  # none of an image's masks overlap
            mask[-1, -1] = 128 if (index, place) == (0, 0) else 0
            write(top / f"masks/c{index:03d}/{names(top)[image % 12]}.png", mask)
    said = rf"masks of over 254 classes cannot keep \(1\)[^(]*{names(top)[0]}"
    with pytest.raises(DatasetError, match=said):
        make(top, tmp_path / "data", classes=None, ignore=(128,))


def test_ignored_pixels_cannot_stand_beside_overlapping_masks(top: Path, tmp_path: Path) -> None:
    write_masks(top, {name: index for index, name in enumerate(CLASSES)}, overlap=True)
    mask = np.asarray(Image.open(top / "masks/cat/s0_00.png")).copy()
    mask[7, 7] = 128
    write(top / "masks/cat/s0_00.png", mask)
    with pytest.raises(DatasetError, match=r"overlapping masks cannot keep \(1\)[^(]*s0_00"):
        make(top, tmp_path / "data", classes=None, ignore=(128,))


# Folds, groups, areas


def test_folds_take_neighbouring_classes(top: Path, tmp_path: Path) -> None:
    folds = make(top, tmp_path / "data", folds=3).folds
    assert [fold.novel for fold in folds.folds] == [(0, 1), (2,), (3,)]
    assert folds.query_order == "draw"
    for fold in folds.folds:
        held = {
            (name, index)
            for name in names(top)
            for index in (int(name[3:]) % 4, (int(name[3:]) + 1) % 4)
        }
        assert set(fold.test) == {pair for pair in held if pair[1] in fold.novel}
        assert set(fold.train) == {pair for pair in held if pair[1] in fold.base}


def test_a_file_of_folds(top: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.yaml").write_text("folds: [[owl, cat], [fox, dog]]\n")
    dataset = make(top, tmp_path / "data", folds=None, folds_file=tmp_path / "folds.yaml")
    assert [fold.novel for fold in dataset.folds.folds] == [(3, 0), (2, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folds: [[cat, dog], [fox]]", "owl in no fold"),
        ("folds: [[cat, dog], [fox, owl, cat]]", "cat given twice"),
        ("folds: [[cat, dog], [fox, owl, yes]]", "a fold holds True, .*: put names in quotes"),
        ("folds: [[cat, dog, fox, owl], []]", "expected {folds"),
        ("folds: cat", "expected {folds"),
        ("fold: [[cat]]", "expected {folds"),
        ("", "expected {folds"),
        ("folds: [[cat", "cannot read the fold file"),
        ("!!python/object/apply:os.system ['true']", "cannot read the fold file"),
    ],
)
def test_a_wrong_file_of_folds_is_named(text: str, message: str, top: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.yaml").write_text(text)
    with pytest.raises(DatasetError, match=message) as raised:
        make(top, tmp_path / "data", folds=None, folds_file=tmp_path / "folds.yaml")
    assert "folds.yaml" in str(raised.value)


def test_no_episode_stays_within_a_group(top: Path, tmp_path: Path) -> None:
    dataset = make(top, tmp_path / "data", group="^([^_]+)")
    for fold in (0, 1):
        for episode in dataset.episodes("fixed-v1", fold, 1):
            assert episode.query[:2] != episode.supports[0][:2]


def test_what_is_too_small_is_labelled_but_not_asked_for(top: Path, tmp_path: Path) -> None:
    labels = label_map(0)
    labels[labels == 1] = 0
    labels[1, 1:4] = 1  # 3 of 80 pixels
    write(top / "labels/s0_00.png", labels)
    for share, there in ((3 / 80, True), (3.01 / 80, False)):
        dataset = make(top, tmp_path / f"data{there}", min_area=share)
        assert (("s0_00", 0) in dataset.folds.fold(0).test) == there
        assert np.count_nonzero(dataset.mask("s0_00", 0) == 1) == 3


def test_a_class_that_no_image_holds_is_left_out_of_the_lists(top: Path, tmp_path: Path) -> None:
    dataset = make(top, tmp_path / "data", classes=(*CLASSES, "yak"))
    assert [fold.novel for fold in dataset.folds.folds] == [(0, 1, 2), (3,)]
    shifted, left_out = dataset.manifest["notes"]
    assert "give --no-background" in shifted
    assert left_out == "left out of the 1-shot lists, which need 2 images of a class: yak (0)"


# Copies and determinism


def test_images_are_copied_never_linked(top: Path, tmp_path: Path) -> None:
    dataset = make(top, tmp_path / "data")
    kept = sorted((dataset.root / "raw/images").iterdir())
    assert len(kept) == 12 and not any(path.is_symlink() for path in kept)
    assert all(path.stat().st_nlink == 1 for path in kept)
    shutil.rmtree(top)
    assert verify(dataset, full=True) == []


def test_embedded_images_leave_no_copies(top: Path, tmp_path: Path) -> None:
    plain = make(top, tmp_path / "plain")
    dataset = make(top, tmp_path / "data", embed=True)
    assert dataset.digest == plain.digest
    assert not (dataset.root / "raw/images").exists()
    shutil.rmtree(top)
    assert np.array_equal(np.asarray(dataset.image("s1_01")), photo(1))


def test_a_changed_image_leaves_what_was_prepared_before_whole(top: Path, tmp_path: Path) -> None:
    old = make(top, tmp_path / "data")
    write(top / "images/s0_00.png", photo(99))
    write(top / "labels/s0_03.png", label_map(3)[:5])
    with pytest.raises(DatasetError, match="another size"):
        make(top, tmp_path / "data")
    assert verify(old, full=True) == []
    write(top / "labels/s0_03.png", label_map(3))
    new = make(top, tmp_path / "data")
    assert np.array_equal(np.asarray(new.image("s0_00")), photo(99))
    assert new.digest != old.digest


def test_neither_processes_nor_the_order_of_writing_change_a_byte(
    top: Path, tmp_path: Path
) -> None:
    first = make(top, tmp_path / "one")
    other = tmp_path / "other"
    for path in sorted(top.rglob("*.png"), reverse=True):
        copy = other / path.relative_to(top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    second = make(other, tmp_path / "two", jobs=2)
    assert first.manifest == second.manifest
    assert str(tmp_path) not in (first.root / "manifest.json").read_text()


# Real images


def test_real_street_scenes(shared_dir: Path, tmp_path: Path) -> None:
    camvid = shared_dir / "data" / "camvid"
    for path in sorted((camvid / "images").iterdir())[::12]:
        for kind, suffix in (("images", ".jpg"), ("labels", ".png")):
            (tmp_path / "in" / kind).mkdir(parents=True, exist_ok=True)
            link = tmp_path / "in" / kind / f"{path.stem}{suffix}"
            link.symlink_to(camvid / kind / link.name)
    classes = "sky,building,pole,road,pavement,tree,sign,fence,car,pedestrian,bicyclist"
    dataset = make(
        tmp_path / "in",
        tmp_path / "data",
        classes=tuple(classes.split(",")),
        ignore=(11,),
        background=False,
        folds=4,
        group="^([^_]+)",
    )
    assert [len(fold.novel) for fold in dataset.folds.folds] == [3, 3, 3, 2]
    assert {name.partition("_")[0] for name in dataset.image_ids} == {"0001TP", "0006R0", "0016E5"}
    image = dataset.image_ids[0]
    assert dataset.size(image) == (360, 480)
    with Image.open(camvid / "labels" / f"{image}.png") as opened:
        original = np.asarray(opened)
    assert np.array_equal(dataset.labels(image), np.where(original == 11, 255, original + 1))
    assert not any(path.is_symlink() for path in (dataset.root / "raw").rglob("*"))
    for fold in range(4):
        for episode in dataset.episodes("fixed-v1", fold, 1):
            assert episode.query.split("_")[0] != episode.supports[0].split("_")[0]
