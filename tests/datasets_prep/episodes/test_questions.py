"""The lists of `mini-v1`, and of the protocols with a question: `absent-v1`, `supports-v1`."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from datasets_prep.episodes import absent, fixed, supports
from datasets_prep.episodes.episode import digest
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import FoldSet, split
from tests.datasets_prep.episodes.test_episodes import drawable, pools, simple_pool


def test_every_present_query_is_followed_by_an_absent_one_with_its_supports() -> None:
    pool = simple_pool(images=30)
    episodes = absent.draw(pool, 2)
    plain = fixed.draw(pool, 2)
    assert [(e.class_index, e.query, e.supports) for e in episodes[::2]] == [
        (e.class_index, e.query, e.supports) for e in plain
    ]
    assert pool.present is not None
    for own, other in zip(episodes[::2], episodes[1::2], strict=True):
        assert (other.class_index, other.supports) == (own.class_index, own.supports)
        assert other.class_index not in pool.present[other.query]


def test_no_image_without_the_class_is_favoured() -> None:
    episodes = absent.draw(simple_pool(images=30), 1)
    for index in (0, 1):
        times = Counter(e.query for e in episodes[1::2] if e.class_index == index)
        assert max(times.values()) - min(times.values()) <= 1
        assert sum(times.values()) == sum(e.class_index == index for e in episodes[::2])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(pool=pools(), shots=st.sampled_from([1, 3]))
def test_absent_queries_are_related_to_no_support(pool: EpisodePool, shots: int) -> None:
    assume(drawable(pool, shots))
    try:
        episodes = absent.draw(pool, shots)
    except DatasetError as error:
        assert "no test image without class" in str(error)
        return
    for episode in episodes[1::2]:
        assert not any(pool.related(episode.query, support) for support in episode.supports)


def test_without_label_maps_there_is_no_list_of_absent_queries() -> None:
    pool = simple_pool()
    blind = EpisodePool(pool.dataset, pool.folds, pool.fold, None)
    with pytest.raises(DatasetError, match="it needs label maps"):
        absent.draw(blind, 1)


def test_a_class_that_every_image_holds_cannot_be_absent() -> None:
    pairs = [(f"i{n}", 0) for n in range(4)]
    folds = FoldSet(split([(0,)], [], pairs))
    pool = EpisodePool("toy", folds, folds.fold(0), {image: (0,) for image, _ in pairs})
    with pytest.raises(DatasetError, match="toy fold 0: no test image without class 0"):
        absent.draw(pool, 1)


def test_each_query_has_ten_supports_and_each_class_as_many_queries() -> None:
    episodes = supports.draw(simple_pool(images=200), 1)
    assert len(episodes) == 1000
    assert Counter(e.class_index for e in episodes) == {0: 500, 1: 500}
    for start in range(0, len(episodes), 10):
        own = episodes[start : start + 10]
        assert len({(e.class_index, e.query) for e in own}) == 1
        assert len({e.supports for e in own}) == 10
    queries = [(e.class_index, e.query) for e in episodes[::10]]
    assert len(set(queries)) == len(queries)


def test_copies_of_an_image_do_not_support_it_or_each_other() -> None:
    pool = simple_pool(images=60)
    images = pool.images(0)
    copy = {image: images[0] for image in images[:5]}
    pool = replace(pool, folds=replace(pool.folds, copies=copy))
    episodes = supports.draw(pool, 1)
    assert any(episode.query in copy for episode in episodes)
    for start in range(0, len(episodes), 10):
        own = episodes[start : start + 10]
        shown = [own[0].query, *(support for episode in own for support in episode.supports)]
        assert len({copy.get(image, image) for image in shown}) == 11


def test_small_classes_have_the_queries_that_they_have() -> None:
    episodes = supports.draw(simple_pool(images=20), 1)
    assert Counter(Counter((e.class_index, e.query) for e in episodes).values()).keys() == {10}


def test_the_mini_list_begins_the_fixed_one_and_stays_balanced() -> None:
    pool = simple_pool(images=40)
    mini, whole = fixed.draw_mini(pool, 3), fixed.draw(pool, 3)
    assert mini == whole[: len(mini)] and len(mini) == 200
    assert Counter(e.class_index for e in mini) == {0: 100, 1: 100}


def test_two_supports_are_another_question() -> None:
    with pytest.raises(DatasetError, match="1 shot"):
        supports.draw(simple_pool(), 2)


def test_lists_stay_as_they_are() -> None:
    pool = simple_pool("pinned", images=40)
    assert digest(absent.draw(pool, 2))[:16] == "d40a3fe32f835c1a"
    assert digest(supports.draw(pool, 1))[:16] == "e557312f0123e8fe"
