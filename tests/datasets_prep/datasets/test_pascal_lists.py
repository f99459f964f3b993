import dataclasses
import hashlib
from pathlib import Path

import pytest

from datasets_prep.datasets.pascal.lists import ListFiles, make_folds
from datasets_prep.datasets.pascal.release import CLASSES, VOC2012_SBD, ListCounts
from datasets_prep.datasets.pascal.report import check_lists, figures
from datasets_prep.datasets.pascal.rules import Sizes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import Pair, read_folds, to_json
from datasets_prep.prepared.list_report import REPORT

NAMES = tuple(VOC2012_SBD.fold_lists)


class Heard:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, label: str, done: int, total: int | None) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


def list_files(folder: Path, train: list[Pair], test: list[Pair], pfenet: str = "") -> ListFiles:
    files = {}
    for name in NAMES:
        pairs = train if name.startswith("trn") else test
        own = [f"{image}__{c + 1:02}\n" for image, c in pairs if c // 5 == int(name[-5])]
        files[name] = folder / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text("".join(own))
    (folder / "pfenet.txt").write_text(pfenet)
    return ListFiles(files, folder / "pfenet.txt")


@pytest.fixture
def published(shared_dir: Path) -> ListFiles:
    return ListFiles({name: shared_dir / "reference/splits/pascal" / name for name in NAMES})


def sizes_of(pairs: list[Pair]) -> Sizes:
    sizes: dict[str, dict[int, int]] = {}
    for image, index in pairs:
        sizes.setdefault(image, {})[index] = 5000
    return sizes


def test_the_published_lists_are_the_pinned_files(published: ListFiles) -> None:
    for name, path in published.fold_lists.items():
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        assert VOC2012_SBD.fold_lists[name].sha256 == actual


def test_the_published_lists_have_the_published_figures(
    published: ListFiles, tmp_path: Path
) -> None:
    sizes = sizes_of([*published.pairs("trn"), *published.pairs("val")])
    folds = make_folds("published", "background", published, sizes, sizes, {})
    assert [len(fold.test) for fold in folds.folds] == [346, 451, 725, 346]
    assert [fold.novel for fold in folds.folds] == [tuple(range(f, f + 5)) for f in (0, 5, 10, 15)]
    train = {pair for fold in folds.folds for pair in fold.train}
    assert len(train) == 13_680
    assert len({image for image, _ in train}) == 10_092
    assert all(c not in fold.novel for fold in folds.folds for _, c in fold.train)
    counts = VOC2012_SBD.counts["published"]
    shown = figures(folds, published, counts)
    assert len(shown) == 4 + 4 + 20 + 2
    assert [figure for figure in shown if figure.ours != figure.published] == []

    heard = Heard()
    checked = check_lists(folds, published, sizes, sizes, counts, tmp_path, heard)
    assert checked == folds
    assert heard.notes == []
    assert "training pairs: 13,680 (published 13,680)" in (tmp_path / REPORT).read_text()


def test_oslsm_lists_of_equal_pairs_are_the_published_lists(published: ListFiles) -> None:
    # Order and folds, not the rule: every published pair is given the hits that keep it.
    train, test = published.pairs("trn"), published.pairs("val")
    hits = sizes_of([*train, *test])
    images = {image for image, _ in test}
    splits = {image: "test" if image in images else "train" for image in sorted(hits)}
    derived = make_folds("oslsm", "background", published, hits, hits, splits)
    reference = make_folds("published", "background", published, hits, hits, splits)
    assert derived.folds == reference.folds


AREAS = {
    "a": {0: 2048, 5: 1},  # a speck of class 5
    "b": {5: 9000},
    "c": {0: 2047, 10: 4000},
    "v": {0: 3000, 1: 2047, 5: 2048},
}
HITS = {"a": {0: 3}, "b": {5: 9}, "c": {0: 3, 10: 2}, "v": {0: 2, 1: 3, 5: 3}}
SPLITS = {"a": "train", "b": "train", "c": "train", "v": "test"}


def test_pfenet_trains_in_the_order_of_its_own_list(tmp_path: Path) -> None:
    lines = "".join(f"JPEGImages/{i}.jpg SegmentationClassAug/{i}.png\n" for i in "ca")
    files = list_files(tmp_path, [], [], lines)
    folds = make_folds("pfenet", "background", files, AREAS, HITS, SPLITS)
    assert folds.folds[1].train == (("c", 10), ("a", 0))
    assert folds.folds[0].test == (("v", 0),)
    assert folds.folds[1].test == (("v", 5),)


def test_oslsm_trains_class_by_class(tmp_path: Path) -> None:
    files = list_files(tmp_path, [], [])
    folds = make_folds("oslsm", "background", files, AREAS, HITS, SPLITS)
    assert folds.folds[3].train == (("a", 0), ("c", 0), ("b", 5))
    assert folds.folds[0].test == (("v", 1),)


@pytest.mark.parametrize("novel", ["background", "ignore"])
def test_novel_classes_are_kept_in_training_and_said_so(tmp_path: Path, novel: str) -> None:
    files = list_files(tmp_path, [], [])
    folds = make_folds("oslsm", novel, files, AREAS, HITS, SPLITS)  # type: ignore[arg-type]
    assert folds.novel_in_train == novel
    assert folds.folds[1].train == (("a", 0), ("c", 0))
    (tmp_path / "folds.json").write_text(to_json(folds))
    assert read_folds(tmp_path / "folds.json") == folds


def test_drop_leaves_out_images_with_any_pixel_of_a_novel_class(tmp_path: Path) -> None:
    files = list_files(tmp_path, [], [])
    kept = make_folds("oslsm", "background", files, AREAS, HITS, SPLITS)
    folds = make_folds("oslsm", "drop", files, AREAS, HITS, SPLITS)
    assert folds.novel_in_train == "drop"
    assert folds.folds[1].train == (("c", 0),)  # a holds one pixel of class 5
    assert folds.folds[2].train == (("a", 0), ("b", 5))  # c holds class 10, though no pair of it
    assert [fold.test for fold in folds.folds] == [fold.test for fold in kept.folds]


def test_lists_of_unknown_images_are_refused(tmp_path: Path) -> None:
    files = list_files(tmp_path, [("nowhere", 3)], [("v", 0)], "JPEGImages/gone.jpg x.png\n")
    with pytest.raises(DatasetError, match=r"do not hold: nowhere; are the archives complete"):
        make_folds("published", "background", files, AREAS, HITS, SPLITS)
    with pytest.raises(DatasetError, match="do not hold: gone"):
        make_folds("pfenet", "background", files, AREAS, HITS, SPLITS)


def test_every_difference_is_counted_told_and_named(tmp_path: Path) -> None:
    files = list_files(tmp_path, [("a", 0), ("b", 5)], [("v", 0), ("v", 1)])
    folds = make_folds("oslsm", "background", files, AREAS, HITS, SPLITS)
    counts = ListCounts(
        test_pairs=(2, 1, 0, 0),
        test_images=(1, 1, 0, 0),
        per_class=(1, 1, *[0] * 18),
        train_pairs=2,
        train_images=3,
        shared_pairs=(1, 0, 0, 0),
    )
    heard = Heard()
    checked = check_lists(folds, files, AREAS, HITS, counts, tmp_path, heard)
    told = [
        "test pairs, fold 0: 1 (published 2, DIFFERS)",
        "test pairs of aeroplane: 0 (published 1, DIFFERS)",
        f"test pairs of {CLASSES[5]}: 1 (published 0, DIFFERS)",
        "training pairs: 3 (published 2, DIFFERS)",
    ]
    assert heard.notes == [f"lists oslsm: {line}; see {tmp_path / REPORT}" for line in told]
    assert checked.notes == (
        *(f"lists oslsm: {line}" for line in told),
        *(
            f"lists oslsm: {where}: {ours} not in HSNet's lists, {theirs} only there; "
            f"named in {REPORT}"
            for where, ours, theirs in (
                ("test pairs of fold 0", 0, 1),
                ("test pairs of fold 1", 1, 0),
                ("training pairs", 1, 0),
            )
        ),
    )
    assert dataclasses.replace(checked, notes=()) == folds
    report = (tmp_path / REPORT).read_text()
    assert "test pairs of fold 0: only HSNet\tv\t1 aeroplane\t2 grid hits\t3000 pixels\n" in report
    assert "test pairs of fold 1: only here\tv\t6 bus\t3 grid hits\t2048 pixels\n" in report
    assert "training pairs: only here\tc\t1 aeroplane\t3 grid hits\t2047 pixels\n" in report


def test_published_pairs_without_their_class_are_told(tmp_path: Path) -> None:
    files = list_files(tmp_path, [("b", 0)], [("v", 0)])
    folds = make_folds("published", "background", files, AREAS, HITS, SPLITS)
    heard = Heard()
    checked = check_lists(folds, files, AREAS, HITS, None, tmp_path, heard)
    assert (
        checked.notes == ("lists published: pairs whose class is not in the label map: 1",)
        and len(heard.notes) == 1
    )
    assert "class not in label map\tb\t1 aeroplane" in (tmp_path / REPORT).read_text()
