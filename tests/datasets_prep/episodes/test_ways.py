"""The lists of `nway2-v1` and `nway5-v1`."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_prep.episodes import ways
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import FoldSet, split
from tests.datasets_prep.episodes.test_episodes import pools, simple_pool


def crowd(classes: int = 6, images: int = 60) -> EpisodePool:
    """Image n holds class n, and every second one the next class too."""
    present = {f"i{n:02d}": (n % classes, (n // classes) % classes) for n in range(images)}
    pairs = [(image, index) for image, held in present.items() for index in sorted({*held})]
    folds = FoldSet(split([tuple(range(classes))], [], pairs))
    return EpisodePool("crowd", folds, folds.fold(0))


def asked(episodes: list[Episode], count: int) -> list[list[Episode]]:
    return [episodes[start : start + count] for start in range(0, len(episodes), count)]


@pytest.mark.parametrize("count", [2, 5])
def test_classes_of_one_query_follow_each_other_and_are_balanced(count: int) -> None:
    pool = crowd()
    episodes = ways.draw(pool, 2, ways=count)
    assert [e.index for e in episodes] == list(range(len(episodes)))
    every = asked(episodes, count)
    assert len(every) == 504
    for own in every:
        assert len({e.query for e in own}) == 1
        assert len({e.class_index for e in own}) == count
        for episode in own:
            assert set(episode.supports) <= set(pool.images(episode.class_index))
            assert len(set(episode.supports)) == 2
    times = Counter(e.class_index for e in episodes)
    assert max(times.values()) - min(times.values()) <= 4


def test_every_other_query_holds_two_of_the_classes_and_absent_ones_occur() -> None:
    pool = crowd()
    there = [
        sum(e.query in pool.images(e.class_index) for e in own)
        for own in asked(ways.draw_two(pool, 1), 2)
    ]
    assert set(there[::2]) == {2}
    assert set(there[1::2]) == {1, 2} and there[1::2].count(1) > len(there) // 4


def test_no_place_among_the_classes_tells_which_is_there() -> None:
    pool = crowd()
    first = [own[0] for own in asked(ways.draw_two(pool, 1), 2)[1::2]]
    there = sum(e.query in pool.images(e.class_index) for e in first)
    assert 0.4 < there / len(first) < 0.8


def test_fewer_shots_begin_more() -> None:
    one, three = (ways.draw_five(crowd(), shots) for shots in (1, 3))
    assert [(e.class_index, e.query, e.supports) for e in one] == [
        (e.class_index, e.query, e.supports[:1]) for e in three
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(pool=pools(), shots=st.sampled_from([1, 2]))
def test_no_query_is_related_to_a_support_and_turns_are_even(pool: EpisodePool, shots: int) -> None:
    try:
        episodes = ways.draw_two(pool, shots)
    except DatasetError:
        return
    held = Counter[int]()
    for own in asked(episodes, 2):
        for episode in own:
            held[episode.class_index] += episode.query in pool.images(episode.class_index)
            assert not any(pool.related(episode.query, support) for support in episode.supports)
    assert min(held.values()) >= len(episodes) // 2 // len(pool.fold.novel)


def test_a_class_that_shares_no_image_is_named() -> None:
    pairs = [(f"i{n}", n % 2) for n in range(20)]
    folds = FoldSet(split([(0, 1)], [], pairs))
    with pytest.raises(DatasetError, match="toy fold 0: no test image of class 0 holds another"):
        ways.draw_two(EpisodePool("toy", folds, folds.fold(0)), 1)


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(DatasetError, match="toy fold 0 has 2 novel classes, not 5"):
        ways.draw_five(simple_pool(images=40), 1)


def test_lists_stay_as_they_are() -> None:
    assert digest(ways.draw_two(crowd(), 2))[:16] == "30961793495b72be"
    assert digest(ways.draw_five(crowd(), 1))[:16] == "ed46e3284316c9e7"
