"""What an episode costs does not depend on what the cache held."""

import pytest

from benchmarks import RunRecord
from benchmarks.results.records import CacheRecord, StagesRecord
from leaderboards.statistics.cost import uncached_milliseconds
from tests.leaderboards.synthetic import make_record, make_rows, make_setup

ENCODE, SUPPORT, SEGMENT = 0.5, 0.01, 0.002
EPISODES = 40


def record(images: int, supports: int, shots: int = 1, **changes: object) -> RunRecord:
    """A run that had to encode so many images and supports, at the speeds above."""
    setup = make_setup(shots=shots, count=EPISODES)
    cache = CacheRecord(
        image_encodes=images,
        support_encodes=supports,
        naive_image_encodes=EPISODES * (1 + shots),
        naive_support_encodes=EPISODES * shots,
        peak_bytes=1000,
    )
    stages = StagesRecord(
        load=9.0,
        encode_images=images * ENCODE,
        encode_supports=supports * SUPPORT,
        segment=EPISODES * SEGMENT,
        score=9.0,
    )
    return make_record(setup, make_rows(setup), **{"cache": cache, "stages": stages, **changes})


@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("images", [1, 13, 80])
def test_it_is_what_an_episode_takes_that_encodes_all_it_needs(images: int, shots: int) -> None:
    expected = 1000 * ((1 + shots) * ENCODE + shots * SUPPORT + SEGMENT)
    assert uncached_milliseconds([record(images, 3, shots)]) == pytest.approx(expected)


def test_a_fold_that_found_all_encoded_leaves_the_telling_to_another() -> None:
    told = uncached_milliseconds([record(20, 20)])
    assert uncached_milliseconds([record(0, 20), record(20, 20)]) == pytest.approx(told)


def test_nothing_is_said_where_no_run_tells() -> None:
    assert uncached_milliseconds([record(0, 20)]) is None
    assert uncached_milliseconds([record(20, 0)]) is None
    assert uncached_milliseconds([record(20, 20, cache=None)]) is None
    assert uncached_milliseconds([record(20, 20, stages=None)]) is None


def test_a_model_that_encodes_nothing_costs_its_segmenting() -> None:
    cache = CacheRecord(
        image_encodes=0,
        support_encodes=EPISODES,
        naive_image_encodes=0,
        naive_support_encodes=EPISODES,
        peak_bytes=0,
    )
    floor = record(0, EPISODES, cache=cache)
    assert uncached_milliseconds([floor]) == pytest.approx(1000 * (SUPPORT + SEGMENT))
