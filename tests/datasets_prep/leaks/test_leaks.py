"""Copies, resized copies and renamed classes are found; other pictures are not."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BuilderOptions, Content, Splits, Workspace
from datasets_prep.errors import DatasetError
from datasets_prep.leaks import fingerprints
from datasets_prep.leaks.class_names import shared
from datasets_prep.leaks.fingerprints import decoded_prints, nearest, stored_prints
from datasets_prep.leaks.report import Leak, Match, between, within
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.folds import Fold, FoldSet
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from datasets_prep.prepared.records import encode_png, label_record

Pixels = NDArray[np.uint8]


def picture(seed: int, side: int = 96) -> Pixels:
    """A smooth random picture, as unlike the next as photographs are."""
    rough = np.random.default_rng(seed).integers(0, 200, (12, 12, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC))


def changed(pixels: Pixels) -> Pixels:
    """Half the size and a little brighter."""
    small = Image.fromarray(pixels).resize((48, 48), Image.Resampling.BILINEAR)
    return np.asarray(Image.eval(small, lambda value: min(255, value + 20)))


class Pictures:
    """Given pictures in one fold: names that begin with `train` are for training."""

    summary, version, Options = "for tests", 1, BuilderOptions

    def __init__(self, name: str, classes: Sequence[str], pictures: Mapping[str, Pixels]) -> None:
        self.name = self.dataset = name
        self.classes = tuple(classes)
        self.pictures = pictures

    def sources(self) -> Sequence[SourceFile]:
        return ()

    def describe(self) -> Mapping[str, object]:
        return {}

    def disk_needed(self) -> int:
        return 0

    def build(self, workspace: Workspace) -> Content:
        labels = {name: np.ones(p.shape[:2], np.uint8) for name, p in self.pictures.items()}
        records = (
            # Packed differently by name, so that equal pixels are not equal bytes.
            label_record(
                name,
                content := encode_png(pixels, level=1 + len(name) % 9),
                hashlib.sha256(content).hexdigest(),
                "all",
                labels[name],
            )
            for name, pixels in self.pictures.items()
        )
        return Content(self.classes, records, self._folds)

    def _folds(self, areas: Areas, splits: Splits) -> FoldSet:
        train = tuple((name, 0) for name in areas if name.startswith(("train", "both")))
        test = tuple((name, 1) for name in areas if name.startswith(("test", "both")))
        return FoldSet((Fold(0, (0,), (1,), train, test),))


def make(
    root: Path, name: str, classes: Sequence[str], pictures: Mapping[str, Pixels]
) -> PreparedDataset:
    return prepare(Pictures(name, classes, pictures), PrepareOptions(root, shots=(1,)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    own = {f"train_{n}": picture(n) for n in range(6)}
    own |= {"test_fresh": picture(20), "test_copy": picture(3), "test_small": changed(picture(4))}
    make(root, "one", ("Dining Table", "cat"), own | {"both_0": picture(30)})
    other = {"train_a": picture(40), "test_b": picture(0), "test_c": changed(picture(20))}
    other |= {"elsewhere": changed(picture(30)), "test_d": picture(41)}
    make(root, "two", ("diningtable", "aeroplane"), other)
    return root


@pytest.fixture(scope="module")
def one(root: Path) -> PreparedDataset:
    return PreparedDataset(root, "one")


@pytest.fixture(scope="module")
def two(root: Path) -> PreparedDataset:
    return PreparedDataset(root, "two")


def test_the_test_part_is_looked_for_in_the_training_part(one: PreparedDataset) -> None:
    (leak,) = within(one, decoded_prints(one, jobs=1))
    assert (leak.seen, leak.tested, leak.images) == ("train of fold 0", "test of fold 0", 4)
    assert leak.same == (Match("both_0", "both_0"),)
    assert leak.equal == (Match("test_copy", "train_3"),)
    (near,) = leak.near
    assert (near.tested, near.seen) == ("test_small", "train_4")
    assert near.distance is not None and 0 < near.distance <= 32
    assert leak.classes == () and leak
    assert leak.whole and leak.compared == leak.named == 7


def test_seen_images_that_are_not_prepared_are_said_to_be_missing(
    one: PreparedDataset, two: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = stored_prints(one), stored_prints(two)
    here = [image for image in one.image_ids if not image.startswith("train")]
    monkeypatch.setattr(one, "image_ids", here)
    (leak,) = within(one, prints[0])
    assert (leak.compared, leak.named, leak.whole) == (1, 7, False)
    whole = {leak.seen: leak.whole for leak in between(one, prints[0], two, prints[1])}
    assert whole == {"train of one": False, "test of one": True}


def test_copies_in_the_test_part_are_told_from_images_of_both_parts(tmp_path: Path) -> None:
    pictures = {f"both_{n}": picture(n % 3) for n in range(5)} | {"test_0": picture(9)}
    three = make(tmp_path, "three", ("cat", "dog"), pictures)
    (leak,) = within(three, stored_prints(three))
    assert [match.tested for match in leak.same] == [f"both_{n}" for n in range(5)]
    assert leak.equal == ()
    assert leak.copies == (Match("both_3", "both_0"), Match("both_4", "both_1"))


def test_files_that_are_packed_differently_are_not_equal_by_file(one: PreparedDataset) -> None:
    (leak,) = within(one, stored_prints(one))
    assert leak.same == (Match("both_0", "both_0"),)
    assert leak.equal == leak.near == ()


def test_every_part_of_one_is_looked_for_in_every_part_of_the_other(
    one: PreparedDataset, two: PreparedDataset
) -> None:
    found = between(one, decoded_prints(one, 1), two, decoded_prints(two, 1))
    matches = {
        (leak.seen, leak.tested): [(m.tested, m.seen) for m in (*leak.equal, *leak.near)]
        for leak in found
    }
    assert matches == {
        ("train of one", "train of two"): [],
        ("train of one", "test of two"): [("test_b", "train_0")],
        ("train of one", "rest of two"): [("elsewhere", "both_0")],
        ("test of one", "train of two"): [],
        ("test of one", "test of two"): [("test_c", "test_fresh")],
        ("test of one", "rest of two"): [("elsewhere", "both_0")],
    }
    assert all(leak.classes == ("diningtable",) and leak.same == () for leak in found)


def test_a_smaller_distance_finds_less(one: PreparedDataset) -> None:
    prints = decoded_prints(one, jobs=1)
    (near,) = within(one, prints)[0].near
    assert near.distance is not None
    assert within(one, prints, near.distance)[0].near == (near,)
    assert within(one, prints, near.distance - 1)[0].near == ()


def test_nothing_in_common_is_no_leak() -> None:
    assert not Leak("a", "b", 3, (), (), (), ())


def test_nearest_agrees_with_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    seen, asked = random.integers(0, 256, (2, 700, 4)).astype(np.uint8)
    bits = np.unpackbits(seen, axis=1)
    rows, distances = nearest(seen, asked[:600])
    for index in range(0, 600, 7):
        plain = (bits != np.unpackbits(asked[index])).sum(axis=1)
        assert (rows[index], distances[index]) == (plain.argmin(), plain.min())


def test_without_the_library_it_says_what_to_install(
    one: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=r"pip install 'fss-bench\[leaks\]', or .* --exact"):
        decoded_prints(one, jobs=1)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("tvmonitor", "tv"),
        ("potted plant", "Potted_Plant"),
        ("motorbike", "motorcycle"),
        ("café", "Cafe\u0301"),
    ],
)
def test_names_of_one_class_are_found(name: str, other: str) -> None:
    assert shared([name, "cat"], [other]) == (name,)
    assert shared([other, "cat"], [name, "catfish"]) == (other,)


@pytest.mark.parametrize(("name", "other"), [("किला", "काला"), ("🐈", "🐕"), ("+", "-")])
def test_names_that_differ_in_marks_or_signs_are_others(name: str, other: str) -> None:
    assert shared([name], [other]) == () and shared([name], [other, name]) == (name,)
