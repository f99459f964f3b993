from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Fault, Faults
from datasets_prep.prepared.folds import FoldSet, split
from datasets_prep.runtime.parallel import ordered_results

FOUND = [Fault("a", "a.jpg is torn"), Fault("b", "b.jpg is gone"), Fault("a", "a.png is torn")]


def test_everything_wrong_is_one_error() -> None:
    with pytest.raises(DatasetError, match=r"(?s)wrong:\na.jpg is torn\nb.jpg is gone\na.png"):
        Faults().settle("these are wrong:", FOUND, "abcd")
    Faults().settle("these are wrong:", [], "abcd")


def test_or_is_left_out_by_name_for_its_first_reason() -> None:
    faults = Faults(skip=True)
    faults.settle("these are wrong:", FOUND, "abcd")
    faults.settle("and these:", [Fault("b", "b.png has no image")], "abcd")
    assert faults.left_out == {
        "a": "these are wrong: a.jpg is torn",
        "b": "these are wrong: b.jpg is gone",
    }


def test_a_shared_name_takes_all_who_share_it() -> None:
    files = [Path("x/a.jpg"), Path("x/b.jpg"), Path("y/a.jpg")]
    faults = Faults(skip=True)
    assert faults.once(files, lambda file: file.stem, lambda file: file) == [Path("x/b.jpg")]
    assert "x/a.jpg and y/a.jpg are both called a" in faults.left_out["a"]
    with pytest.raises(DatasetError, match=r"share a name:\nx/a\.jpg and y/a\.jpg"):
        Faults().once(files, lambda file: file.stem, lambda file: file)


def test_folds_lose_what_is_left_out_and_keep_their_order() -> None:
    pairs = [("a", 0), ("b", 1), ("c", 0), ("a", 1)]
    folds = FoldSet(split([(0,), (1,)], pairs, pairs))
    assert Faults(skip=True).without(folds) is folds
    faults = Faults(skip=True)
    faults.settle("", FOUND[:1], "abcd")
    first, second = faults.without(folds).folds
    assert first.test == (("c", 0),) and first.train == (("b", 1),)
    assert second.test == (("b", 1),) and second.train == (("c", 0),)


def judged(item: SimpleNamespace) -> int:
    if item.number % 2:
        raise DatasetError(f"{item.image_id} is odd")
    return int(item.number)


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_stop_at_the_first_wrong_item_or_go_on_without_it(jobs: int) -> None:
    items = [SimpleNamespace(image_id=f"i{n}", number=n) for n in (0, 2, 3, 4, 5, 6)]
    results = ordered_results(judged, items, jobs)
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(DatasetError, match="wrong:\ni3 is odd\ni5 is odd"):
        next(results)
    faults = Faults(skip=True)
    assert list(ordered_results(judged, items, jobs, faults)) == [0, 2, 4, 6]
    assert list(faults.left_out) == ["i3", "i5"]
