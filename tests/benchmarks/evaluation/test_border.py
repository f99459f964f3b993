"""Boundary IoU: against the definition in plain loops, by hand, by its laws, and through a run."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from benchmarks import evaluate
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.evaluation.border import border, count_border, width_of
from benchmarks.evaluation.metrics import METRICS, EpisodeCounts
from benchmarks.results.merge import merge
from benchmarks.results.shards import Shard
from benchmarks.results.store import read_result
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import tiny_config, tiny_dataset

Mask = NDArray[np.bool_]
ONE_RUN = [{"name": "tiny", "shots": [1], "folds": [0]}]
SIDE = st.integers(1, 12)
TRUTH = st.tuples(SIDE, SIDE).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 1, 1, 255]))
)


def plain_border(mask: Mask, width: int) -> Mask:
    """An erosion by 3×3 squares, `width` times, pixel by pixel; outside is background."""
    inner = mask.copy()
    for _ in range(width):
        before = inner.copy()
        for row, column in np.ndindex(mask.shape):
            for r in (row - 1, row, row + 1):
                for c in (column - 1, column, column + 1):
                    inside = 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1]
                    if not inside or not before[r, c]:
                        inner[row, column] = False
    return mask & ~inner


def test_widths_are_two_percent_of_the_diagonal() -> None:
    assert [width_of(400, 400), width_of(375, 500), width_of(128, 128)] == [11, 12, 4]
    assert [width_of(1, 1), width_of(20, 20), width_of(1024, 1024)] == [1, 1, 29]


def test_a_border_by_hand() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[2:, 1:5] = True  # touches the lower edge, where outside is background too
    ring = mask.copy()
    ring[3:5, 2:4] = False
    assert np.array_equal(border(mask), ring)


@given(truth=TRUTH, width=st.integers(1, 4))
def test_borders_are_those_of_the_plain_loop(truth: NDArray[np.uint8], width: int) -> None:
    mask = truth == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.evaluation.border.width_of", lambda *_: width)
        assert np.array_equal(border(mask), plain_border(mask, width))


@given(data=st.data(), truth=TRUTH)
def test_counts_are_those_of_the_definition(data: st.DataObject, truth: NDArray[np.uint8]) -> None:
    prediction = data.draw(arrays(np.bool_, truth.shape))
    seen, width = prediction & (truth != 255), width_of(*truth.shape)
    ours, theirs = plain_border(seen, width), plain_border(truth == 1, width)
    inner, outer = count_border(prediction, truth)
    assert (inner, outer) == (int((ours & theirs).sum()), int((ours | theirs).sum()))
    assert count_border(prediction ^ (truth == 255), truth) == (inner, outer)


@given(truth=TRUTH)
def test_the_truth_meets_its_own_border(truth: NDArray[np.uint8]) -> None:
    inner, outer = count_border(truth == 1, truth)
    assert inner == outer and (outer > 0) == bool((truth == 1).any())


def test_large_objects_are_judged_by_their_border_alone() -> None:
    truth = np.zeros((200, 200), dtype=np.uint8)
    truth[20:180, 20:180] = 1
    smaller = np.zeros((200, 200), dtype=bool)
    smaller[26:174, 26:174] = True  # 86% of the object, and none of its border of six pixels
    assert count_border(smaller, truth)[0] == 0


def test_borders_are_pooled_as_areas_are() -> None:
    areas = np.array([[5, 9, 1, 5], [2, 2, 3, 3]])
    further = {"boundary_intersection": np.array([1, 2]), "boundary_union": np.array([4, 3])}
    own = EpisodeCounts(np.arange(2), np.array([7, 7]), areas, further).at_border()
    assert own is not None
    assert own.class_areas([7])[0, :2].tolist() == [3, 7]
    assert EpisodeCounts(np.arange(2), np.array([7, 7]), areas).at_border() is None


def test_from_python_an_oracle_meets_every_border(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path / "data")
    wanted = {"folds": [0], "limit": 30}
    plain = evaluate("oracle-box", data, **wanted)
    asked = evaluate("oracle-box", data, metrics=["boundary"], **wanted)
    assert "boundary_iou" not in plain.answers
    # The objects of the tiny dataset are boxes; on its grid they are hit to the pixel or nearly.
    assert asked.answers["boundary_iou"] > 0.8
    assert plain.miou == asked.miou
    columns = asked.table().column_names
    assert columns[-2:] == ["boundary_intersection", "boundary_union"]
    with pytest.raises(BenchError, match="no metric is called 'border'; there is boundary"):
        evaluate("random", data, metrics=["border"], **wanted)


def test_a_run_is_asked_for_borders_from_its_beginning(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    asked, plain = (
        tiny_config(tmp_path, limit=20, metrics=metrics) for metrics in (["boundary"], [])
    )
    run_matrix(plain, listener=Quiet())
    with pytest.raises(BenchError, match=r"begun with metrics = \[\], now it is \['boundary'\]"):
        run_matrix(asked, listener=Quiet())
    outcomes = run_matrix(asked, resume="fresh", listener=Quiet())
    again = run_matrix(plain, listener=Quiet())
    assert {outcome.status for outcome in again} == {"already complete"}
    assert [one.record for one in again] == [one.record for one in outcomes]


def test_shards_and_workers_count_borders_alike(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    wanted = {"limit": 40, "metrics": ["boundary"], "datasets": ONE_RUN}
    alone = tiny_config(tmp_path, results_root=tmp_path / "alone", **wanted)
    (outcome,) = run_matrix(alone, listener=Quiet())
    split = tiny_config(tmp_path, results_root=tmp_path / "split", **wanted)
    for text in ("1/2", "2/2"):
        run_matrix(split, listener=Quiet(), shard=Shard.parse(text))
    merge(tmp_path / "split")
    one, other = (
        read_result(tmp_path / store, outcome.key).counts.further for store in ("alone", "split")
    )
    assert one.keys() == other.keys() == set(METRICS["boundary"])
    assert all(np.array_equal(one[name], other[name]) and one[name].any() for name in one)
