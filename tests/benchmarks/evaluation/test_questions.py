"""Figures of `absent-v1` and `supports-v1` against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.evaluation.metrics import EpisodeCounts, miou
from benchmarks.evaluation.questions import absence, ious_by_query, spread


def counts(rows: list[tuple[int, int, int, int, int]]) -> EpisodeCounts:
    """Rows of class and four areas."""
    table = np.array(rows, dtype=np.int64)
    return EpisodeCounts(np.arange(len(rows)), table[:, 0], table[:, 1:])


def test_false_alarms_are_counted_on_absent_queries_alone() -> None:
    own = counts(
        [
            (0, 60, 100, 900, 940),
            (0, 0, 0, 1000, 1000),  # nothing marked
            (0, 30, 100, 900, 970),
            (0, 0, 1, 999, 1000),  # a thousandth: no alarm
            (1, 10, 50, 950, 990),
            (1, 0, 250, 750, 1000),
        ]
    )
    found = absence(own, ["q"] * 6, [0, 1], "left out")
    assert found == {
        "present_miou": pytest.approx((90 / 200 + 10 / 50) / 2),
        "false_alarm_rate": pytest.approx(1 / 3),
        "marked_area": pytest.approx((0 + 0.001 + 0.25) / 3),
    }
    assert miou(own, [0, 1], "left out") == pytest.approx((90 / 201 + 10 / 300) / 2)


def test_spread_of_a_known_table() -> None:
    ious = {"a": [20, 40, 60], "b": [80, 80, 80]}
    rows = [(0, iou, 100, 0, 0) for own in ious.values() for iou in own]
    found = spread(counts(rows), [q for q in ious for _ in range(3)], [0], "left out")
    assert found["support_mean"] == pytest.approx(0.6)
    assert found["support_std"] == pytest.approx(0.1)
    assert (found["support_worst"], found["support_best"]) == pytest.approx((0.5, 0.7))
    within, between = 0.02, 0.08 - 0.02 / 3
    assert found["support_share"] == pytest.approx(within / (within + between))


def test_what_is_neither_there_nor_marked_counts_as_found() -> None:
    found = ious_by_query(counts([(0, 0, 0, 100, 100), (0, 1, 4, 0, 3)]), ["a", "b"])
    assert {query: ious.tolist() for (_, query), ious in found.items()} == {"a": [1], "b": [0.25]}


@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=6),
    st.integers(2, 10),
)
def test_supports_that_do_not_matter_have_no_share(queries: list[int], supports: int) -> None:
    rows = [(0, iou, 100, 0, 0) for iou in queries for _ in range(supports)]
    names = [str(n) for n in range(len(queries)) for _ in range(supports)]
    found = spread(counts(rows), names, [0], "left out")
    assert found["support_share"] == pytest.approx(0, abs=1e-12)
    assert found["support_worst"] == pytest.approx(np.mean(queries) / 100)
    assert found["support_best"] == pytest.approx(np.mean(queries) / 100)


def test_one_query_says_nothing_of_shares() -> None:
    assert spread(counts([(0, 1, 2, 0, 0)] * 3), ["q"] * 3, [0], "left out") == {}
