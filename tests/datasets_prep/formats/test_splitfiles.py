import enum
import os
import pickle
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets_prep.episodes import hsnet
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.published import check_digest, expected_digest, list_name
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import (
    lists_digest,
    read_coco,
    read_fss,
    read_lists,
    read_pascal,
    read_plain_pickle,
)
from datasets_prep.prepared.folds import FoldSet, split

ROW = re.compile(
    r"^\| (pascal|coco|fss1000) (?:fold (\d)|test) \| (\d+) "
    r"\| ([0-9a-f]{64}) \| ([0-9a-f]{64}) \| (\d+) \|$",
    re.MULTILINE,
)


def published(shared_dir: Path) -> list[tuple[str, int, int, str, str, int]]:
    """Rows of the reference table: dataset, fold, episodes, 1-shot, 5-shot, repeated."""
    text = (shared_dir / "reference" / "README.md").read_text(encoding="utf-8")
    return [
        (name, int(fold or 0), int(count), one, five, int(repeated))
        for name, fold, count, one, five, repeated in ROW.findall(text)
    ]


@pytest.mark.parametrize("dataset", ["pascal", "coco", "fss1000"])
def test_the_published_episode_lists_are_drawn_bit_for_bit(dataset: str, shared_dir: Path) -> None:
    rows = [row for row in published(shared_dir) if row[0] == dataset]
    assert len(rows) == (1 if dataset == "fss1000" else 4)
    folds = read_lists(dataset, shared_dir / "reference" / "splits")
    for _, number, count, one, five, repeated in rows:
        pool = EpisodePool(dataset, folds, folds.fold(number))
        for shots, expected in ((1, one), (5, five)):
            episodes = hsnet.draw(pool, shots)
            assert len(episodes) == count
            assert digest(episodes) == expected
            assert expected_digest(dataset, folds, "hsnet", number, shots) == expected
            check_digest(dataset, folds, "hsnet", number, shots, expected)
        assert sum(len(set(e.supports)) < 5 for e in episodes) == repeated


def test_another_list_than_the_published_is_an_error_that_names_both(shared_dir: Path) -> None:
    folds = read_lists("pascal", shared_dir / "reference" / "splits")
    expected = expected_digest("pascal", folds, "hsnet", 2, 5)
    other = digest([Episode(0, 10, "a", ("b",))])
    with pytest.raises(DatasetError, match=f"fold2_5shot.*{other}.*{expected}"):
        check_digest("pascal", folds, "hsnet", 2, 5, other)


def test_only_the_published_lists_have_published_digests(shared_dir: Path) -> None:
    folds = read_lists("pascal", shared_dir / "reference" / "splits")
    first = folds.folds[0]
    swapped = (first.test[1], first.test[0], *first.test[2:])
    changed = FoldSet(split([first.novel], [], swapped))
    assert lists_digest(changed) != lists_digest(folds)
    assert expected_digest("pascal", changed, "hsnet", 0, 1) is None
    assert expected_digest("mine", folds, "hsnet", 0, 1) is None
    assert expected_digest("pascal", folds, "fixed-v1", 0, 1) is None
    assert list_name(0, 1) == "fold0_1shot"


def test_the_published_counts(shared_dir: Path) -> None:
    splits = shared_dir / "reference" / "splits"
    pascal = read_pascal(splits)
    assert [len(fold.test) for fold in pascal.folds] == [346, 451, 725, 346]
    every = {pair for fold in pascal.folds for pair in fold.train}
    assert len(every) == 13680 and len({image for image, _ in every}) == 10092
    for fold in pascal.folds:
        assert {index for _, index in fold.train} == set(fold.base)
        assert {index for _, index in fold.test} == set(fold.novel)
    fss = read_fss(splits)
    assert len(fss.fold(0).novel) == 240 and fss.fold(0).novel[0] == 760
    assert fss.fold(0).test[:3] == (
        ("abe's_flyingfish/1", 760), ("abe's_flyingfish/10", 760), ("abe's_flyingfish/2", 760),
    )  # fmt: skip
    assert fss.fold(0).images_of[760][:2] == ("abe's_flyingfish/1", "abe's_flyingfish/2")
    coco = read_coco(splits)
    assert coco.query_order == "draw"
    assert coco.fold(1).novel == tuple(range(1, 80, 4))
    assert all(image.startswith("COCO_val2014_") for image, _ in coco.fold(1).test)


# Pickles


class Innocent:
    pass


class Malicious:
    """Runs a command when it is unpickled by the usual means."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "evil.pkl"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps({0: ["a"], 1: Malicious(mark)}, protocol))
        with pytest.raises(DatasetError, match=r"evil\.pkl is not a plain pickle.*system"):
            read_plain_pickle(path)
        assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the pickle above does no harm anywhere, and proves nothing"


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Innocent()),
        pickle.dumps(Innocent),
        pickle.dumps(len),
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"",
        b"\x80",
        b"garbage",
        b"\x80\x04N",
        b"\x80\x04}q\x00",
        b"I99x\n.",
        b"h\x07.",
        b"0.",
        b"\x80\x04(R.",
        b"P0\n.",
        pickle.dumps({"a": list(range(99))})[:-9],
    ],
)
def test_no_global_and_no_damage_passes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.pkl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"list\.pkl is not a plain pickle"):
        read_plain_pickle(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # the place of one thing among two milliards
        b"Np2147483647\n.",
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",
        b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    ],
)
def test_no_pickle_takes_memory_that_it_does_not_fill(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.pkl"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=r"list\.pkl is not a plain pickle: it"):
            read_plain_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_are_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "list.pkl"
    value = {0: ["val2014/a.jpg"], 4: [], 7: ["b", "ü"]}
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


class Mode(enum.IntEnum):
    BOX = 1

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[int]]:
        """Not as some releases of Python 3.11 have it, which pickle a getattr instead."""
        return type(self), (int(self),)


def test_an_enumeration_is_read_as_its_number_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "list.pkl"
    path.write_bytes(pickle.dumps([Mode.BOX, Mode.BOX]))
    name = f"{Mode.__module__}.{Mode.__qualname__}"
    read = read_plain_pickle(path, (name,))
    assert read == [1, 1]
    assert {type(value) for value in read} == {int}
    with pytest.raises(DatasetError, match=rf"it asks for {name}"):
        read_plain_pickle(path, ("other.Mode",))


def test_a_missing_pickle_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read the list .*none\.pkl"):
        read_plain_pickle(tmp_path / "none.pkl")


# Small lists of one's own


def write_pascal(folder: Path) -> None:
    for part, image in (("val", "v"), ("trn", "t")):
        (folder / part).mkdir(parents=True)
        for fold in range(4):
            lines = [f"{image}{fold}_{i}__{fold * 5 + i + 1:02d}" for i in range(5)]
            (folder / part / f"fold{fold}.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("above", [True, False])
def test_pascal_trains_on_the_other_three_files(above: bool, tmp_path: Path) -> None:
    write_pascal(tmp_path / "pascal")
    folds = read_pascal(tmp_path if above else tmp_path / "pascal")
    assert folds.fold(1).test == tuple((f"v1_{i}", 5 + i) for i in range(5))
    assert [image[:2] for image, _ in folds.fold(1).train] == ["t0"] * 5 + ["t2"] * 5 + ["t3"] * 5
    assert folds.query_order == "walk" and folds.lists == "published"


def test_test_lists_alone_are_enough(tmp_path: Path) -> None:
    write_pascal(tmp_path)
    for path in (tmp_path / "trn").iterdir():
        path.unlink()
    (tmp_path / "trn").rmdir()
    assert read_pascal(tmp_path).fold(0).train == ()


@pytest.mark.parametrize(
    "line", ["2007_000033", "__05", "a__0", "a__21", "a__x", "", "a__-1", "a__²"]
)
def test_a_wrong_pascal_line_is_named_by_number(line: str, tmp_path: Path) -> None:
    write_pascal(tmp_path)
    (tmp_path / "val" / "fold2.txt").write_text(f"a__12\n{line}\nb__12\n", "utf-8")
    with pytest.raises(DatasetError, match=r"fold2\.txt, line 2: expected IMAGE__CLASS"):
        read_pascal(tmp_path)


def test_coco_lists_are_flattened_in_the_order_of_the_folds_classes(tmp_path: Path) -> None:
    for part in ("val", "trn"):
        (tmp_path / part).mkdir()
        for fold in range(4):
            lists = {c: [f"val2014/i{c}.jpg", "val2014/x.jpg"] for c in range(fold + 4, -1, -4)}
            (tmp_path / part / f"fold{fold}.pkl").write_bytes(pickle.dumps(lists))
    folds = read_coco(tmp_path)
    assert folds.fold(2).test == (("i2", 2), ("x", 2), ("i6", 6), ("x", 6))
    assert folds.fold(2).base == tuple(c for c in range(80) if c % 4 != 2)


@pytest.mark.parametrize("value", [[], 3, {"a": ["b"]}, {0: 7}, {0: [7]}, {None: ["a"]}])
def test_a_pickle_of_other_shape_is_named(value: object, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "fold0.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(DatasetError, match=r"fold0\.pkl: expected a dict"):
        read_coco(tmp_path)


def test_missing_and_unknown_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read the list .*test\.txt"):
        read_fss(tmp_path)
    (tmp_path / "test.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"test\.txt is not a text list"):
        read_fss(tmp_path)
    with pytest.raises(DatasetError, match=r"no published lists for 'lvis'; .* pascal, coco, fss"):
        read_lists("lvis", tmp_path)
