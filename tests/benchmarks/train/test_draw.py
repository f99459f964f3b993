"""Episodes to train on: base classes' alone, fixed by the seed and the step, none held out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.errors import BenchError
from benchmarks.train.base_classes import base_images
from benchmarks.train.draw import BaseEpisodes, EveryPair, TrainEpisode, Variant, generator
from datasets_prep.prepared.folds import Fold, FoldSet

Train = Callable[[FoldSet], list[TrainEpisode]]


def folds_of(*train: tuple[str, int], group: str | None = None) -> FoldSet:
    return FoldSet((Fold(0, (0, 1), (2,), train, ()),), group=group)


def even(folds: FoldSet, held_out: bool = False) -> list[TrainEpisode]:
    episodes = BaseEpisodes(folds, 0, held_out=held_out)
    return [episodes.draw(generator(0, step), 3) for step in range(300)]


def every_pair(folds: FoldSet) -> list[TrainEpisode]:
    return EveryPair(folds, 0, 0).draw(1, 300)


both = pytest.mark.parametrize("drawn", [even, every_pair])

MANY = folds_of(*((f"i{number:03d}", number % 2) for number in range(120)))
VIDEOS = folds_of(
    *((f"v{number:02}_{frame}", number % 2) for number in range(45) for frame in "ab"),
    group=r"^(v\d\d)",
)


def names_of(episode: TrainEpisode) -> list[str]:
    return [episode.query[0], *(name for name, _ in episode.supports)]


def test_draws_are_the_same_for_ever() -> None:
    """What shipped weights were trained on can be drawn again."""
    plain = BaseEpisodes(MANY, 0).draw(generator(3, 1), 2)
    same = Variant()
    assert plain == TrainEpisode(
        1, ("i041", same), (("i101", same), ("i079", same)), seed=359241946
    )
    varied = BaseEpisodes(MANY, 0, augment=True, copies=0.5).draw(generator(3, 2), 2)
    assert varied == TrainEpisode(
        1,
        ("i037", Variant(4, True)),
        (("i021", Variant(4)), ("i083", Variant(4, True))),
        seed=281444313,
    )
    checks = BaseEpisodes(MANY, 0, held_out=True).draw(generator(3, 1), 2)
    assert (checks.class_index, names_of(checks)) == (0, ["i100", "i080", "i040"])


@both
@pytest.mark.parametrize("folds", [MANY, VIDEOS], ids=["images", "videos"])
def test_an_episode_is_of_one_base_class_and_of_as_many_groups_as_images(
    drawn: Train, folds: FoldSet
) -> None:
    pairs = set(folds.folds[0].train)
    for episode in drawn(folds):
        names = names_of(episode)
        assert len({folds.group_of(name) for name in names}) == len(names) > 1
        assert {(name, episode.class_index) for name in names} <= pairs


@both
@pytest.mark.parametrize("folds", [MANY, VIDEOS], ids=["images", "videos"])
def test_every_twentieth_group_is_validated_on_and_never_trained_on(
    drawn: Train, folds: FoldSet
) -> None:
    groups = sorted({folds.group_of(name) for name, _ in folds.folds[0].train})
    trained, checked = (
        {folds.group_of(name) for episode in some for name in names_of(episode)}
        for some in (drawn(folds), even(folds, held_out=True))
    )
    assert trained == set(groups) - set(groups[::20])
    assert checked <= set(groups[::20])


@both
def test_of_many_small_classes_every_twentieth_is_validated_on(drawn: Train) -> None:
    pairs = tuple((f"{name:02}/{number}", name) for name in range(50) for number in range(10))
    folds = FoldSet((Fold(0, tuple(range(50)), (50,), pairs, ()),))
    checks = base_images(folds, 0, held_out=True).images
    assert {index: len(images) for index, images in checks.items()} == {0: 10, 20: 10, 40: 10}
    assert {e.class_index for e in drawn(folds)}.isdisjoint(checks)


@both
def test_a_novel_class_in_the_training_list_is_an_error(drawn: Train) -> None:
    folds = folds_of(("a", 0), ("b", 0), ("c", 2))
    with pytest.raises(BenchError, match="image c for class 2, which is not a base class"):
        drawn(folds)
    overlapping = replace(folds.folds[0], base=(0, 1, 2))
    with pytest.raises(BenchError, match="class 2, which is not a base class"):
        drawn(replace(folds, folds=(overlapping,)))


@both
def test_a_class_of_one_image_or_one_video_is_never_drawn(drawn: Train) -> None:
    # The first group in order is held out.
    train = (("v0_a", 1), ("v1_a", 0), ("v1_b", 0), ("v2_a", 1), ("v2_b", 1), ("v3_a", 1))
    assert {e.class_index for e in drawn(folds_of(*train, group=r"(v\d)"))} == {1}
    with pytest.raises(BenchError, match="no base class has two training images"):
        drawn(folds_of(("0", 0), ("a", 0), ("b", 1)))


def test_few_images_leave_none_to_validate_on() -> None:
    assert base_images(folds_of(("a", 0), ("b", 0), ("c", 0)), 0, held_out=True).images == {}


def test_each_round_asks_for_every_pair_once() -> None:
    episodes = EveryPair(MANY, 0, seed=5)
    size = len(episodes.pairs)
    assert size == 114
    drawn = [e for step in range(1, 20) for e in episodes.draw(step, 12)]  # two rounds
    queries = [(episode.query[0], episode.class_index) for episode in drawn]
    assert len(queries) == 2 * size
    assert Counter(queries[:size]) == Counter(queries[size:]) == Counter(episodes.pairs)
    assert queries[:size] != queries[size:]


def test_the_seed_and_the_number_alone_fix_an_episode() -> None:
    whole = EveryPair(MANY, 0, seed=5).draw(1, 240)
    assert whole[200:240] == EveryPair(MANY, 0, seed=5).draw(6, 40)
    assert whole != EveryPair(MANY, 0, seed=6).draw(1, 240)
