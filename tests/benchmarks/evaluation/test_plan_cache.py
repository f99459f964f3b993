"""The plan fixes batches; the cache keeps its budget and drops what is needed last."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.evaluation.cache import FeatureCache, Tier
from benchmarks.evaluation.plan import make_plan
from datasets_prep.episodes.episode import Episode
from models.segmenter import Features

CPU = torch.device("cpu")
GRID = (8, 8)


def feature(nbytes: int) -> Features:
    return Features({"x": torch.zeros(nbytes, dtype=torch.uint8)})


def episodes(*rows: tuple[int, str, str]) -> list[Episode]:
    return [Episode(n, c, q, tuple(s)) for n, (c, q, s) in enumerate(rows)]


def test_a_plan_holds_every_episode_once_by_class_then_query() -> None:
    plan = make_plan(episodes((1, "b", "ac"), (0, "c", "ab"), (1, "a", "bc")), lambda _: GRID, 2)
    order = [[e.index for e in batch.episodes] for batch in plan.batches]
    assert order == [[1, 2], [0]]
    assert (plan.episodes, plan.images, plan.pairs) == (3, 3, 5)
    assert (plan.naive_image_encodes, plan.naive_support_encodes) == (9, 6)


def test_a_batch_ends_where_the_grid_changes() -> None:
    grids = {"a": (1, 1), "b": (2, 2), "c": (2, 2)}
    plan = make_plan(episodes((0, "a", "b"), (0, "b", "c"), (0, "c", "a")), grids.__getitem__, 8)
    assert [[e.query for e in batch.episodes] for batch in plan.batches] == [["a"], ["b", "c"]]


def run(trace: list[int], budget: int, sizes: dict[int, int]) -> tuple[int, FeatureCache]:
    cache = FeatureCache([Tier(CPU, budget)])
    cache.schedule([key] for key in trace)
    misses = 0
    for step, key in enumerate(trace):
        if cache.get(key) is None:
            misses += 1
            cache.put(key, feature(sizes[key]))
        assert cache.bytes <= budget
        cache.advance(step, [key])
    return misses, cache


def fewest_misses(trace: list[int], slots: int) -> int:
    """The best that any cache of `slots` equal entries can do, by trying everything."""
    states: dict[frozenset[int], int] = {frozenset(): 0}
    for key in trace:
        following: dict[frozenset[int], int] = {}
        for held, misses in states.items():
            if key in held:
                options = [(held, misses)]
            elif len(held) < slots:
                options = [(held | {key}, misses + 1)]
            else:
                options = [((held - {drop}) | {key}, misses + 1) for drop in held]
                options.append((held, misses + 1))
            for state, cost in options:
                following[state] = min(cost, following.get(state, cost))
        states = following
    return min(states.values())


@given(st.lists(st.integers(0, 4), max_size=14), st.integers(1, 3))
def test_no_cache_of_equal_entries_misses_less(trace: list[int], slots: int) -> None:
    misses, _ = run(trace, slots, dict.fromkeys(range(5), 1))
    assert misses == fewest_misses(trace, slots)


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(0, 12))
def test_the_budget_holds_for_unequal_entries(trace: list[int], budget: int) -> None:
    misses, cache = run(trace, budget, {key: key + 1 for key in range(7)})
    assert misses >= len(set(trace))
    assert cache.peak_bytes <= budget


def test_what_the_first_tier_cannot_hold_moves_to_the_next() -> None:
    cache = FeatureCache([Tier(CPU, 2), Tier(CPU, 1)])
    cache.schedule([["a"], ["b"], ["c"], ["a"], ["b"], ["c"]])
    for step, key in enumerate("abc"):
        cache.put(key, feature(1))
        cache.advance(step, [key])
    assert all(key in cache for key in "abc")
    assert cache.bytes == 3
    assert cache.get("c") is not None
    assert cache.bytes == 3


def test_features_of_a_past_schedule_stay_while_there_is_room() -> None:
    cache = FeatureCache([Tier(CPU, 2)])
    cache.put("old", feature(1))
    cache.put("older", feature(1))
    cache.schedule([["new"]])
    cache.put("new", feature(1))
    assert "new" in cache
    assert ("old" in cache) != ("older" in cache)


def test_what_is_forgotten_frees_its_room_in_every_tier() -> None:
    cache = FeatureCache([Tier(CPU, 1), Tier(CPU, 2)])
    for key in ("mine", "yours", "mine too"):
        cache.put(key, feature(1))
    cache.forget(lambda key: str(key).startswith("mine"))
    assert cache.bytes == 1
    assert "yours" in cache
    cache.schedule([["new"]])
    assert cache.peak_bytes == 1


def test_old_ranks_do_not_pile_up_while_there_is_room() -> None:
    cache = FeatureCache([Tier(CPU, 100)])
    keys = range(100)
    for _ in range(3):
        cache.schedule([keys] * 50)
        for step in range(50):
            for key in keys:
                if cache.get(key) is None:
                    cache.put(key, feature(1))
            cache.advance(step, keys)
    assert len(cache._shelves[0]._heap) < 2000


def test_an_entry_larger_than_the_budget_is_not_kept() -> None:
    cache = FeatureCache([Tier(CPU, 3)])
    cache.put("big", feature(4))
    assert "big" not in cache
    assert cache.bytes == 0
