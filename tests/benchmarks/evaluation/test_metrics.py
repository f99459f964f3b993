"""Counts and figures: by hand, against HSNet's evaluator, and by their laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.evaluation.metrics import COUNTS, EpisodeCounts, class_ious, count, fb_iou, miou

CASES = (
    "pascal_fold1_ignore",
    "pascal_fold1_noignore",
    "coco_fold0_missing_classes",
    "fss",
)


def counts(rows: list[tuple[int, int, tuple[int, int, int, int]]]) -> EpisodeCounts:
    return EpisodeCounts(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.int64).reshape(-1, 4),
    )


# By hand.

HAND = counts(
    [
        (0, 3, (1, 2, 6, 7)),
        (1, 3, (3, 6, 2, 5)),
        (2, 5, (2, 2, 6, 6)),
        (3, 5, (0, 4, 4, 8)),
    ]
)


def test_one_mask_by_hand() -> None:
    prediction = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)
    truth = np.array([[1, 0, 1], [0, 1, 255]], dtype=np.uint8)
    assert count(prediction, truth) == (2, 4, 1, 3)
    assert count(prediction, truth, ignore=254) == (2, 5, 1, 4)


def test_figures_by_hand() -> None:
    assert class_ious(HAND, [3, 5], "zero") == {3: 4 / 8, 5: 2 / 6}
    assert miou(HAND, [3, 5], "zero") == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert fb_iou(HAND) == pytest.approx((6 / 14 + 18 / 26) / 2)


def test_a_class_that_no_episode_drew_is_zero_or_left_out() -> None:
    assert class_ious(HAND, [3, 4, 5], "zero")[4] == 0
    assert 4 not in class_ious(HAND, [3, 4, 5], "left out")
    assert miou(HAND, [3, 4, 5], "zero") == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert miou(HAND, [3, 4, 5], "left out") == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_runs_are_scored_apart_and_averaged() -> None:
    # Run one holds episodes 0 and 1, both of class 3; run two the others, both of class 5.
    assert miou(HAND, [3, 5], "zero", runs=2) == pytest.approx((1 / 4 + 1 / 6) / 2)
    assert miou(HAND, [3, 5], "left out", runs=2) == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert fb_iou(HAND, runs=2) == pytest.approx(((4 / 8 + 8 / 12) / 2 + (2 / 6 + 10 / 14) / 2) / 2)


@pytest.mark.parametrize("undrawn", ["zero", "left out"])
def test_a_list_cut_below_its_number_of_runs_still_has_a_figure(undrawn: str) -> None:
    assert miou(counts([(0, 3, (1, 2, 6, 7))]), [3], undrawn, runs=5) == 0.5


def test_areas_come_in_the_order_of_the_classes_asked_for() -> None:
    assert HAND.class_areas([5, 4, 3]).tolist() == [
        [2, 6, 10, 14],
        [0, 0, 0, 0],
        [4, 8, 8, 12],
    ]


# Against HSNet's evaluator.


@pytest.mark.parametrize("case", CASES)
def test_hsnets_figures(shared_dir: Path, case: str) -> None:
    folder = shared_dir / "reference" / "metrics"
    expected = json.loads((folder / "RESULTS.json").read_text())[case]
    data = np.load(folder / f"{case}.npz")
    areas = []
    for prediction, truth, ignore in zip(data["pred"], data["gt"], data["ignore"], strict=True):
        labels = np.where(ignore == 1, 255, truth) if data["use_ignore"] else truth
        areas.append(count(prediction.astype(bool), labels.astype(np.uint8)))
    hsnets = np.concatenate([data["area_inter_bg_fg"], data["area_union_bg_fg"]], axis=1)
    assert np.array_equal(np.array(areas)[:, [2, 0, 3, 1]], hsnets)
    every = EpisodeCounts(np.arange(len(areas)), data["class_id"], np.array(areas))
    classes = data["class_ids"].tolist()
    assert 100 * miou(every, classes, "zero") == pytest.approx(expected["miou"], abs=1e-5)
    assert 100 * fb_iou(every) == pytest.approx(expected["fb_iou"], abs=1e-5)


def test_sums_stay_exact_where_float32_drifts(shared_dir: Path) -> None:
    folder = shared_dir / "reference" / "metrics"
    expected = json.loads((folder / "RESULTS.json").read_text())["float32_accumulation_drift"]
    pixels = np.load(folder / "float32_accumulation.npz")["inter_union"]
    # episodes × (intersection, union) × (background, foreground)
    areas = np.stack([pixels[:, 0, 1], pixels[:, 1, 1], pixels[:, 0, 0], pixels[:, 1, 0]], axis=1)
    every = EpisodeCounts(np.arange(len(areas)), np.zeros(len(areas), dtype=np.int64), areas)
    fi, fu, bi, bu = every.class_areas([0])[0].tolist()
    assert [bi, fi] == expected["exact_inter"] != expected["float32_inter"]
    assert [bu, fu] == expected["exact_union"] != expected["float32_union"]
    assert 100 * fb_iou(every) == pytest.approx(expected["fb_exact"], abs=1e-12)


# By their laws.

SIDE = st.integers(1, 9)


@st.composite
def masks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(SIDE), draw(SIDE))
    truth = draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 255])))
    return draw(arrays(np.bool_, shape)), truth


@st.composite
def episodes(draw: st.DrawFn) -> EpisodeCounts:
    rows = []
    for number in range(draw(st.integers(1, 12))):
        prediction, truth = draw(masks())
        rows.append((number, draw(st.integers(0, 3)), count(prediction, truth)))
    return counts(rows)


@given(masks())
def test_counts_are_bounded_and_cover_what_is_not_ignored(pair: tuple) -> None:
    prediction, truth = pair
    fi, fu, bi, bu = count(prediction, truth)
    valid = int((truth != 255).sum())
    assert 0 <= fi <= fu and 0 <= bi <= bu
    assert fi + bu == valid == fu + bi


@given(masks())
def test_ignored_pixels_never_count(pair: tuple) -> None:
    prediction, truth = pair
    flipped = np.where(truth == 255, ~prediction, prediction)
    assert count(flipped, truth) == count(prediction, truth)
    keep = truth != 255
    assert count(prediction[keep][None], truth[keep][None]) == count(prediction, truth)


@given(masks())
def test_prediction_and_truth_may_be_exchanged(pair: tuple) -> None:
    prediction, truth = pair
    truth = np.where(truth == 255, 0, truth)
    assert count(truth == 1, prediction.astype(np.uint8)) == count(prediction, truth)


@given(masks())
def test_foreground_and_background_may_be_exchanged(pair: tuple) -> None:
    prediction, truth = pair
    fi, fu, bi, bu = count(prediction, truth)
    swapped = np.choose(np.minimum(truth, 2), [1, 0, 255]).astype(np.uint8)
    assert count(~prediction, swapped) == (bi, bu, fi, fu)


@given(masks())
def test_the_truth_itself_is_perfect(pair: tuple) -> None:
    truth = pair[1]
    fi, fu, bi, bu = count(truth == 1, truth)
    assert (fi, bi) == (fu, bu)


@given(episodes(), st.sampled_from(["zero", "left out"]))
def test_figures_lie_in_0_to_1_and_are_means_of_classes(every: EpisodeCounts, undrawn: str) -> None:
    ious = class_ious(every, range(4), undrawn)
    assert set(every.class_id.tolist()) <= set(ious)
    assert all(0 <= iou <= 1 for iou in ious.values())
    assert min(ious.values()) - 1e-12 <= miou(every, range(4), undrawn)
    assert miou(every, range(4), undrawn) <= max(ious.values()) + 1e-12
    assert 0 <= fb_iou(every) <= 1


@given(episodes(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_the_order_in_which_episodes_come_changes_nothing(
    every: EpisodeCounts, random: object, runs: int
) -> None:
    order = list(range(len(every)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = EpisodeCounts(every.episode[order], every.class_id[order], every.areas[order])
    assert miou(mixed, range(4), "zero", runs) == miou(every, range(4), "zero", runs)
    assert fb_iou(mixed, runs) == fb_iou(every, runs)


@given(episodes(), st.integers(0, 12))
def test_sums_of_parts_are_the_sums_of_the_whole(every: EpisodeCounts, cut: int) -> None:
    parts = [
        EpisodeCounts(every.episode[part], every.class_id[part], every.areas[part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    summed = sum(part.class_areas(range(4)) for part in parts)
    assert np.array_equal(summed, every.class_areas(range(4)))


def test_the_columns_are_named_in_their_order() -> None:
    assert COUNTS == ("fg_intersection", "fg_union", "bg_intersection", "bg_union")
