"""The bootstrap, by hand, against a slow loop, and by what an interval must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation import intervals, metrics
from benchmarks.evaluation.intervals import Interval, bootstrap, interval, over_folds
from benchmarks.evaluation.metrics import EpisodeCounts


def counts(classes: list[int], areas: object) -> EpisodeCounts:
    return EpisodeCounts(np.arange(len(classes)), np.array(classes), np.array(areas))


def made_up(seed: int, episodes: int = 60, classes: int = 4) -> tuple[EpisodeCounts, list[str]]:
    random = np.random.default_rng(seed)
    fi, false, bi = random.integers(0, 50, (3, episodes))
    areas = np.stack([fi, fi + false, bi, bi + false], axis=1)
    queries = [f"q{number}" for number in random.integers(0, episodes // 3, episodes)]
    return counts(random.integers(0, classes, episodes).tolist(), areas), queries


def test_two_images_by_hand() -> None:
    # Two images: draws are 2×a, a+b, b+a or 2×b, so IoU is 1/2, 2/6 or 1/4.
    own = counts([7, 7], [(1, 2, 8, 9), (1, 4, 6, 9)])
    draws = bootstrap([own], ["a", "b"], [7], "zero")[0]
    values, times = np.unique(draws.miou, return_counts=True)
    assert values.tolist() == [1 / 4, 2 / 6, 1 / 2]
    assert times / len(draws.miou) == pytest.approx([1 / 4, 1 / 2, 1 / 4], abs=0.02)
    assert draws.class_iou == {7: Interval(1 / 4, 1 / 2)}
    both = {1 / 4: 6 / 9, 2 / 6: 14 / 18, 1 / 2: 8 / 9}
    assert draws.fb_iou.tolist() == [(iou + both[iou]) / 2 for iou in draws.miou.tolist()]


def test_episodes_of_one_image_are_drawn_together() -> None:
    own = counts([7] * 4, [(1, 2, 8, 9), (1, 2, 8, 9), (0, 4, 6, 10), (0, 4, 6, 10)])
    draws = bootstrap([own], ["a", "a", "b", "b"], [7], "zero")[0]
    assert set(draws.miou.tolist()) == {1 / 2, 2 / 12, 0.0}
    apart = bootstrap([own], ["a", "b", "c", "d"], [7], "zero")[0]
    assert np.std(draws.miou) > 1.2 * np.std(apart.miou)


def test_one_image_in_two_classes_is_two_images() -> None:
    own = counts([0, 1], [(1, 2, 8, 9), (1, 4, 6, 9)])
    draws = bootstrap([own], ["a", "a"], [0, 1], "zero")[0]
    assert set(draws.miou.tolist()) == {(1 / 2 + 1 / 4) / 2}


@pytest.mark.parametrize("undrawn", ["zero", "left out"])
@pytest.mark.parametrize("runs", [1, 3])
def test_a_slow_loop_gives_the_same_draws(undrawn: str, runs: int) -> None:
    own, queries = made_up(1)
    classes, resamples = [0, 1, 2, 3, 9], 40
    # The third run draws class 0 no more.
    own = EpisodeCounts(own.episode, np.where(own.episode >= 40, 1, own.class_id), own.areas)
    draws = bootstrap([own], queries, classes, undrawn, runs, seed=5, resamples=resamples)[0]
    picked = {}
    for index in classes:
        images = sorted({queries[e] for e in np.flatnonzero(own.class_id == index)})
        random = np.random.default_rng([5, index])
        picks = random.integers(len(images) or 1, size=(resamples, len(images)))
        picked[index] = [[images[pick] for pick in row] for row in picks]
    for draw in range(resamples):
        episodes = [
            e
            for index in classes
            for image in picked[index][draw]
            for e in range(60)
            if queries[e] == image and own.class_id[e] == index
        ]
        mious, fbs = [], []
        for run in range(runs):
            rows = [e for e in episodes if e * runs // 60 == run]
            listed = {int(own.class_id[e]) for e in range(60) if e * runs // 60 == run}
            ious = []
            for index in classes:
                if undrawn == "left out" and index not in listed:
                    continue
                sums = own.areas[[e for e in rows if own.class_id[e] == index]].sum(axis=0)
                ious.append(sums[0] / max(sums[1], 1))
            mious.append(np.mean(ious))
            fi, fu, bi, bu = own.areas[rows].sum(axis=0)
            fbs.append((fi / max(fu, 1) + bi / max(bu, 1)) / 2)
        assert draws.miou[draw] == pytest.approx(np.mean(mious), abs=1e-12)
        assert draws.fb_iou[draw] == pytest.approx(np.mean(fbs), abs=1e-12)


@given(st.integers(0, 99), st.sampled_from(["zero", "left out"]), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_where_every_episode_is_alike_the_interval_is_the_figure(
    seed: int, undrawn: str, runs: int
) -> None:
    own, queries = made_up(seed)
    own = EpisodeCounts(own.episode, own.class_id, np.tile([3, 7, 3, 7], (60, 1)))
    draws = bootstrap([own], queries, range(4), undrawn, runs, resamples=50)[0]
    # A draw may leave a run of a class without any of its images, so only one run is constant.
    if runs == 1:
        figure = metrics.miou(own, range(4), undrawn)
        assert interval(draws.miou) == Interval(pytest.approx(figure), pytest.approx(figure))
    assert interval(draws.fb_iou).high == pytest.approx(metrics.fb_iou(own, runs))


def test_intervals_hold_the_figure_and_narrow_with_more_images() -> None:
    widths = []
    for episodes in (90, 900):
        own, queries = made_up(2, episodes)
        draws = bootstrap([own], queries, range(4), "zero")[0]
        assert metrics.miou(own, range(4), "zero") in interval(draws.miou)
        assert metrics.fb_iou(own) in interval(draws.fb_iou)
        for index, iou in metrics.class_ious(own, range(4), "zero").items():
            assert iou in draws.class_iou[index]
        ends = interval(draws.miou)
        widths.append(ends.high - ends.low)
    assert widths[0] / widths[1] == pytest.approx(10**0.5, rel=0.2)


def test_95_of_100_intervals_hold_the_truth() -> None:
    # Episodes of an endless list whose IoU is 0.6 by construction.
    random = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        union = random.integers(50, 150, 80)
        areas = np.zeros((80, 4), dtype=np.int64)
        areas[:, 0], areas[:, 1] = random.binomial(union, random.beta(6, 4, 80)), union
        own = counts([0] * 80, areas)
        draws = bootstrap([own], [str(e) for e in range(80)], [0], "zero", seed=seed, resamples=400)
        held += 0.6 in interval(draws[0].miou)
    assert 0.90 <= held / 200 <= 0.985


def test_models_share_their_draws() -> None:
    own, queries = made_up(3)
    better = EpisodeCounts(own.episode, own.class_id, own.areas + np.array([1, 0, 1, 0]))
    alone = bootstrap([own], queries, range(4), "zero", resamples=300)[0]
    pair = bootstrap([better, own], queries, range(4), "zero", resamples=300)
    assert np.array_equal(pair[1].miou, alone.miou)
    assert pair[1].class_iou == alone.class_iou
    # One pixel more in every episode is more in every draw.
    assert (pair[0].miou > pair[1].miou).all()


def test_draws_are_named_by_seed_and_not_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    own, queries = made_up(4)

    def miou(seed: int) -> list[float]:
        draws = bootstrap([own], queries, range(4), "zero", seed=seed, resamples=100)
        return draws[0].miou.tolist()

    before = miou(0)
    assert before == miou(0) != miou(1)
    monkeypatch.setattr(intervals, "_BLOCK", 7)
    assert miou(0) == before


def test_models_of_different_lists_are_refused() -> None:
    own, queries = made_up(5)
    other = EpisodeCounts(own.episode, own.class_id[::-1], own.areas)
    with pytest.raises(ValueError, match="same episodes"):
        bootstrap([own, other], queries, range(4), "zero")


def test_folds_are_averaged_draw_by_draw() -> None:
    folds = [np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.0])]
    assert over_folds(folds).tolist() == [0.5, 1.0, 0.25]
    assert interval(np.arange(1001.0)) == Interval(25.0, 975.0)
