"""The curve over shots: by hand, against plain loops, and by what its words promise."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from benchmarks import EpisodeCounts, Result
from benchmarks.evaluation.intervals import Figure, Interval, interval
from benchmarks.results import figures
from benchmarks.results.store import RunKey, protocol_folder
from leaderboards.statistics.scores import settings
from leaderboards.statistics.shots import Curve, saturation, shot_curves, slope
from tests.leaderboards.synthetic import make_record, make_rows, make_setup, query_names

PIXELS = 400
UNION = 300
BASES = np.random.default_rng(5).integers(20, 180, 40)  # what is hit at one shot, by episode


def measured(shots: int, hits: Sequence[int], fold: int = 0, **changes: Any) -> Result:
    """A result whose unions are all alike, so that an episode's IoU is hits / UNION."""
    setup = make_setup(
        **{"shots": shots, "fold": fold, "folds": 2, "count": len(hits), **changes},
    )
    rows = make_rows(setup)
    own = np.array(hits)
    misses = np.full_like(own, PIXELS - UNION)
    areas = np.stack([own, np.full_like(own, UNION), misses, PIXELS - own], axis=1)
    classes = np.array([row.class_id for row in rows])
    counts = EpisodeCounts(np.arange(len(own)), classes, areas)
    folder = protocol_folder(setup.protocol.name, setup.episodes.limit)
    key = RunKey(setup.dataset.name, folder, setup.model.name, fold, shots)
    queries = tuple(changes.get("queries", query_names(len(own))))
    return Result(key, make_record(setup, rows), counts, queries, None)


def model(gains: Mapping[int, int], **changes: Any) -> list[Result]:
    """A model that hits so many pixels more of every query at each number of shots."""
    return [
        measured(shots, BASES + gain, fold, **changes)
        for shots, gain in gains.items()
        for fold in (0, 1)
    ]


def only(results: Sequence[Result]) -> Curve:
    ((own,),) = (found.curves for found in shot_curves(settings(results)))
    return own


def close(figure: Figure | None, value: float) -> bool:
    """Whether a figure is `value` in every draw."""
    assert figure is not None
    ends = (figure.value, figure.interval.low, figure.interval.high)
    return np.allclose(ends, value, atol=1e-12)


# One model


def test_a_curve_that_is_linear_in_the_doublings_has_their_gain_to_the_digit() -> None:
    curve = only(model({1: 0, 2: 15, 4: 30, 8: 45}))
    assert close(curve.slope, 15 / UNION)
    assert (curve.saturation, curve.left, curve.reached) == (None, None, None)
    assert curve.mious[4].value == pytest.approx(fmean(BASES + 30) / UNION)


def test_a_flat_curve_has_no_slope_and_is_saturated_at_once() -> None:
    curve = only(model({1: 7, 2: 7, 5: 7, 10: 7}))
    nothing = Figure(0.0, Interval(0.0, 0.0))
    assert (curve.slope, curve.saturation, curve.left) == (nothing, 1, nothing)
    assert curve.reached is None  # of no gain there is no share


def test_a_curve_that_stops_rising_is_saturated_where_it_stops() -> None:
    curve = only(model({1: 0, 2: 20, 5: 45, 10: 60, 20: 60}))
    assert curve.saturation == 10 and close(curve.left, 0.0)
    assert close(curve.reached, 45 / 60)


def test_a_curve_that_falls_has_nothing_to_gain() -> None:
    curve = only(model({1: 60, 5: 30, 20: 0}))
    assert curve.slope.value < 0 and curve.slope.interval.high < 0
    assert curve.saturation == 1 and close(curve.left, -60 / UNION)
    assert curve.reached is None


def test_figures_are_paired_over_shots() -> None:
    """Queries that are hard at every number of shots do not blur what shots bring."""
    random = np.random.default_rng(1)
    results = [
        measured(shots, BASES + gain + random.integers(-3, 4, len(BASES)), fold)
        for shots, gain in {1: 0, 2: 10, 4: 20}.items()
        for fold in (0, 1)
    ]
    curve = only(results)
    assert 10 / UNION in curve.slope.interval
    wide = curve.mious[1].interval
    gap = curve.slope.interval
    assert gap.high - gap.low < (wide.high - wide.low) / 10


def test_intervals_are_those_of_a_line_through_each_draw() -> None:
    random = np.random.default_rng(3)
    results = [
        measured(shots, BASES + gain + random.integers(-15, 16, len(BASES)), fold)
        for shots, gain in {1: 0, 2: 20, 5: 30}.items()
        for fold in (0, 1)
    ]
    # Drawn one by one, for all lists share their draws.
    drawn = [np.mean([figures.draws([r])[0].miou for r in own], axis=0) for own in pairs(results)]
    slopes = np.polyfit(np.log2([1, 2, 5]), np.array(drawn), 1)[0]
    curve = only(results)
    low, high = np.percentile(slopes, [2.5, 97.5])
    assert curve.slope.interval.low == pytest.approx(low)
    assert curve.slope.interval.high == pytest.approx(high)
    assert curve.saturation is None
    assert [figure.interval for figure in curve.mious.values()] == list(map(interval, drawn))


def pairs(results: Sequence[Result]) -> list[Sequence[Result]]:
    return [results[start : start + 2] for start in range(0, len(results), 2)]


# Definitions


@budget(deadline=None)
@given(
    shots=st.lists(st.integers(1, 64), min_size=2, max_size=8, unique=True).map(sorted),
    data=st.data(),
)
def test_the_slope_is_that_of_a_line_fitted_by_others(
    shots: list[int], data: st.DataObject
) -> None:
    some = st.lists(st.floats(0, 1), min_size=len(shots), max_size=len(shots))
    mious = np.array(data.draw(some))
    fitted = np.polyfit(np.log2(shots), mious, 1)[0]
    assert slope(shots, mious) == pytest.approx(fitted, abs=1e-9)
    columns = np.stack([mious, 1 - mious], axis=1)
    assert slope(shots, columns) == pytest.approx([fitted, -fitted], abs=1e-9)
    assert slope(shots, np.full(len(shots), mious[0])) == 0.0


def plain_saturation(shots: list[int], mious: np.ndarray, draws: np.ndarray) -> int | None:
    """Every pair by itself, draw by draw."""
    for a, own in enumerate(shots[:-1]):
        larger = range(a + 1, len(shots))
        spreads = {b: float(np.std([d[b] - d[a] for d in draws.T])) for b in larger}
        most = []
        for d in draws.T:
            errors = [
                (d[b] - d[a] - (mious[b] - mious[a])) / spreads[b] for b in larger if spreads[b] > 0
            ]
            most.append(max(errors, default=0.0))
        limit = float(np.percentile(most, 97.5))
        if not any(mious[b] - mious[a] > limit * spreads[b] for b in larger):
            return own
    return None


@budget(max_examples=60, deadline=None)
@given(
    number=st.integers(2, 6), seed=st.integers(0, 999), rise=st.sampled_from([0.0, 0.5, 1.5, 3.0])
)
def test_a_plain_loop_finds_the_same_saturation(number: int, seed: int, rise: float) -> None:
    random = np.random.default_rng(seed)
    shots = [1, 2, 3, 5, 10, 20][:number]
    mious = rise * np.log(np.arange(number) + 1) + random.normal(size=number)
    draws = mious[:, None] + random.normal(size=(number, 60))
    if seed % 3 == 0:
        draws[-1] = draws[0] + mious[-1] - mious[0]  # a gain without an error
    assert saturation(shots, mious, draws) == plain_saturation(shots, mious, draws)


def trials(truth: Sequence[float], times: int = 400) -> list[int | None]:
    """What is found of a curve that is known but for noise, which grows with the shots."""
    random = np.random.default_rng(11)
    shots = [1, 2, 3, 5, 10, 20][: len(truth)]
    noise = np.linspace(1, 2, len(truth))
    found = []
    for _ in range(times):
        mious = np.array(truth) + noise * random.normal(size=len(truth))
        draws = mious[:, None] + noise[:, None] * random.normal(size=(len(truth), 800))
        found.append(saturation(shots, mious, draws))
    return found


@pytest.mark.parametrize(("truth", "right"), [([0] * 6, 1), ([0, 9, 20, 40, 40, 40], 5)])
def test_saturation_is_seldom_found_too_late(truth: list[float], right: int) -> None:
    found = trials(truth)
    late = np.mean([own is None or own > right for own in found])
    assert 0.002 < late < 0.05  # 0.025 is promised
    assert np.mean([own == right for own in found]) > 0.9


def test_a_gain_within_the_noise_is_not_seen_and_one_beyond_it_is() -> None:
    assert np.mean([own == 1 for own in trials([0, 0.2, 0.3], 200)]) > 0.9
    assert np.mean([own is None for own in trials([0, 15, 30], 200)]) > 0.95


def test_the_share_at_five_is_drawn_as_a_share() -> None:
    random = np.random.default_rng(2)
    results = [
        measured(shots, BASES + gain + random.integers(-9, 10, len(BASES)), fold)
        for shots, gain in {1: 0, 5: 60, 20: 100}.items()
        for fold in (0, 1)
    ]
    curve = only(results)
    assert curve.reached is not None
    one, five, most = (curve.mious[shots].value for shots in (1, 5, 20))
    assert curve.reached.value == pytest.approx((five - one) / (most - one))
    assert 0.6 in curve.reached.interval
    assert 0.01 < curve.reached.interval.high - curve.reached.interval.low < 0.1


# Which rows have a curve


def test_two_numbers_of_shots_make_no_curve() -> None:
    assert shot_curves(settings(model({1: 0, 5: 30}))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "hsnet"},  # other supports at every number of shots
        {"count": 40, "limit": 40},
        {"folds": 3},  # one of which is lacking
    ],
    ids=["not nested", "cut", "lacking a fold"],
)
def test_what_does_not_compare_has_no_curve(changes: dict[str, Any]) -> None:
    results = model({1: 0, 2: 10, 5: 30})
    assert len(shot_curves(settings(results))) == 1
    assert shot_curves(settings(model({1: 0, 2: 10, 5: 30}, **changes))) == []


@pytest.mark.parametrize(
    "other",
    [
        {"weights_digest": "cd" * 32},
        {"config": {"backbone": "large"}},
        {"source_digest": "e" * 64},
        {"dtype": "bf16"},
        {"digest": "f" * 64},
        {"queries": [f"other{number}" for number in range(len(BASES))]},
    ],
    ids=lambda own: next(iter(own)),
)
def test_shots_of_other_code_or_queries_are_left_out(other: dict[str, Any]) -> None:
    strangers = model({3: 20}, **other)
    assert shot_curves(settings(model({1: 0, 2: 10}) + strangers)) == []
    curve = only(model({1: 0, 2: 10, 5: 30}) + strangers)
    assert list(curve.rows) == [1, 2, 5]


def test_tiers_stand_apart_and_the_best_at_its_most_shots_first() -> None:
    results = [
        *model({1: 0, 2: 10, 5: 30}, name="slow"),
        *model({1: 0, 2: 20, 10: 90}, name="quick"),
        *model({1: 9, 2: 20, 5: 90}, name="seer", sees_test_classes="yes"),
    ]
    strict, general = shot_curves(settings(results))
    assert (strict.strict, strict.shots) == (True, (1, 2, 5, 10))
    assert [own.last.model.name for own in strict.curves] == ["quick", "slow"]
    assert not general.strict and general.shots == (1, 2, 5)
    assert strict.curves[0].mious.keys() == {1, 2, 10}
