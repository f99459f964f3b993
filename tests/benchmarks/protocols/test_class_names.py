"""Messages call a class by its name, not by the number that it has inside."""

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.errors import BenchError
from benchmarks.protocols.lists import drawn_lists, problems
from benchmarks.train.draw import BaseEpisodes, EveryPair
from datasets_prep.datasets.coco.lists import named_images
from datasets_prep.datasets.lvis.lists import published_lists
from datasets_prep.datasets.lvis.report import without_pixels
from datasets_prep.episodes.episode import Episode
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Fold, FoldSet, split
from datasets_prep.prepared.lists import write_lists
from tests.pascal_lists import write_pascal_lists

CLASSES = ("cat", "dog", "fox", "owl")
ONE_FOX = FoldSet(split([(0, 1, 2, 3)], [], [*((f"i{n}", n % 2) for n in range(6)), ("f", 2)]))
ALONE = FoldSet(
    split([(0, 1, 2)], [], [("f", 2), ("g", 2), *((f"i{n}", c) for n in range(2) for c in (0, 1))])
)
AREAS = {image: {index: 9} for image, index in (*ONE_FOX.folds[0].test, *ALONE.folds[0].test)}


def notes(folds: FoldSet, *names: str) -> Callable[[Path], Sequence[str]]:
    """Why lists of these recipes are not drawn."""

    def written(place: Path) -> Sequence[str]:
        _, said, undrawn = write_lists("toy", folds, CLASSES, AREAS, (1,), place)
        lines = [line.partition("list ")[2] for line in (*said, *undrawn)]
        return [line for line in lines if line.startswith(names)]

    return written


def crops(place: Path) -> Sequence[str]:
    fold = Fold(0, (), (2,), (), (("a/0", 2),), crops={2: (("a/0",),)})
    write_lists("toy", FoldSet((fold,), "cycle"), CLASSES, {"a/0": {2: 9}}, (1,), place)
    raise AssertionError


def absent(place: Path) -> Sequence[str]:
    everywhere = FoldSet(split([(1, 2)], [], [(f"i{n}", c) for n in range(4) for c in (1, 2)]))
    areas = {f"i{n}": {1: 9, 2: 9} for n in range(4)}
    _, _, undrawn = write_lists("toy", everywhere, CLASSES, areas, (1,), place)
    return [line for line in undrawn if "absent" in line]


def from_files(place: Path) -> Sequence[str]:
    """Class 4 of PASCAL, the last of its first fold, keeps one image."""
    write_pascal_lists(place)
    path = place / "val/fold0.txt"
    lines = path.read_text().splitlines()
    last = [line for line in lines if line.endswith("__05")]
    path.write_text("\n".join(line for line in lines if line not in last[1:]))
    return [str(next(iter(drawn_lists("pascal", place, "hsnet", (1,)))))]


def in_no_fold(place: Path) -> Sequence[str]:
    dataset = SimpleNamespace(folds=ONE_FOX, image_ids=["f", "i0"], classes=(*CLASSES, "elk"))
    return problems([Episode(0, 4, "f", ("i0",))], cast("Any", dataset), 0)


def trained(episodes: Callable[..., object]) -> Callable[[Path], Sequence[str]]:
    folds = FoldSet((Fold(0, (0, 1), (2,), (("a", 0), ("b", 0), ("f", 2)), ()),))

    def drawn(place: Path) -> Sequence[str]:
        episodes(folds, 0, names=CLASSES)
        raise AssertionError

    return drawn


def lvis_pickle(place: Path) -> Sequence[str]:
    (place / "lvis_val.pkl").write_bytes(pickle.dumps({2: {"val2017/9.jpg": {}}}))
    return [str(published_lists(place / "lvis_val.pkl", {1: ("val2017/8",)}, CLASSES))]


SAID: dict[str, tuple[Callable[[Path], Sequence[str]], str]] = {
    "a list of a class with one image": (notes(ONE_FOX, "fixed-v1", "hsnet"), "class 'fox' has 1"),
    "a list of a class with crops of one image": (crops, "class 'fox' has crops of 1 images"),
    "a list of two classes, of which none goes with fox": (
        notes(ALONE, "nway2-v1"),
        "no test image of class 'fox' holds another",
    ),
    "a list with queries that lack their class": (absent, "no test image without class 'dog'"),
    "single images of the lists": (
        lambda place: named_images("toy", ONE_FOX, CLASSES, (7,)), "class 'cat' has 3 test images"
    ),
    "list files alone": (from_files, "class 'bottle' has 1 test images"),
    "a list that is read back": (in_no_fold, "episode 0: class 'elk' is not novel in fold 0"),
    "a training list, even": (trained(BaseEpisodes), "image f for class 'fox', which is not"),
    "a training list, every pair": (
        trained(lambda *a, **k: EveryPair(*a, 0, **k)), "image f for class 'fox', which is not"
    ),
    "LVIS's pickle": (lvis_pickle, r"image val2017/9 of category 'fox' \(2\)"),
    "LVIS's pairs without a pixel": (
        lambda place: without_pixels(ONE_FOX, {"f": {0: 4}}, CLASSES), "no pixel: f of 'fox'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_a_class_is_called_by_name(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, phrase = SAID[case]
    try:
        said = make(tmp_path)
    except (BenchError, DatasetError) as error:
        said = [str(error)]
    assert said
    for line in said:
        assert re.search(phrase, line), line
        assert not re.search(r"\b(class|category) \d", line)


def test_a_class_that_the_dataset_has_not_is_called_by_number() -> None:
    dataset = SimpleNamespace(folds=ONE_FOX, image_ids=["f", "i0"], classes=CLASSES)
    for index in (-1, len(CLASSES)):
        (said,) = problems([Episode(0, index, "f", ("i0",))], cast("Any", dataset), 0)
        assert said == f"episode 0: class {index} is not novel in fold 0"
