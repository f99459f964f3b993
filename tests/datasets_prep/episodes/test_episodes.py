import hashlib
from collections import Counter
from pathlib import Path
from unittest.mock import ANY

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from datasets_prep.episodes import fixed, hsnet, pfenet
from datasets_prep.episodes.episode import (
    Episode,
    canonical_text,
    digest,
    read_episodes,
    storable,
    to_jsonl,
    write_episodes,
)
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.recipes import SHOTS, recipes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.folds import FoldSet, split

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@st.composite
def episode_lists(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES) -> list[Episode]:
    drawn = []
    for index in range(draw(st.integers(0, 6))):
        query, *supports = draw(st.lists(names, min_size=2, max_size=4, unique=True))
        drawn.append(Episode(index, draw(st.integers(0, 999)), query, tuple(supports)))
    return drawn


@st.composite
def pools(draw: st.DrawFn) -> EpisodePool:
    """One fold of up to four novel classes; images in up to five groups, or none."""
    grouped = draw(st.booleans())
    classes = draw(st.integers(1, 4))
    count = draw(st.integers(6, 40))
    images = [f"g{draw(st.integers(0, 4))}_{i}" for i in range(count)]
    holds = st.lists(st.integers(0, classes - 1), unique=True, max_size=classes)
    present = {image: tuple(sorted(draw(holds))) for image in images}
    pairs = [(image, index) for image in images for index in present[image]]
    folds = FoldSet(
        split([tuple(range(classes))], [], pairs), group="^(g[0-9])_" if grouped else None
    )
    return EpisodePool("toy", folds, folds.fold(0), present)


def drawable(pool: EpisodePool, shots: int) -> bool:
    try:
        pool.check(shots, distinct=True)
    except DatasetError:
        return False
    return True


def simple_pool(dataset: str = "toy", images: int = 12, group: str | None = None) -> EpisodePool:
    """Two novel classes; each image holds one, every third both."""
    present = {f"{'abcd'[i % 4]}_{i}": (i % 2,) if i % 3 else (0, 1) for i in range(images)}
    pairs = [(image, index) for image, held in present.items() for index in held]
    folds = FoldSet(split([(0, 1)], [], pairs), group=group)
    return EpisodePool(dataset, folds, folds.fold(0), present)


# The value and its files


def test_canonical_text_and_digest_of_a_known_list() -> None:
    episodes = [Episode(0, 3, "2007_000033", ("a", "b")), Episode(1, 0, "ü", ("x",))]
    assert canonical_text(episodes) == "3\t2007_000033\ta,b\n0\tü\tx\n"
    expected = hashlib.sha256("3\t2007_000033\ta,b\n0\tü\tx\n".encode()).hexdigest()
    assert digest(episodes) == expected
    assert to_jsonl(episodes[:1]) == (
        '{"episode": 0, "class": 3, "query": "2007_000033", "supports": ["a", "b"]}\n'
    )


@given(episodes=episode_lists())
def test_files_give_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, episodes: list[Episode]
) -> None:
    path = tmp_path_factory.mktemp("lists") / "below" / "list.jsonl"
    write_episodes(path, episodes)
    assert read_episodes(path) == episodes
    assert [p.name for p in path.parent.iterdir()] == ["list.jsonl"]


# Few names, so that equal lists come up, but treacherous ones.
SHORT = st.sampled_from(["a", "b", "ab", "a b", "1", "1a", "é", "-"])


@given(a=episode_lists(SHORT), b=episode_lists(SHORT))
def test_different_lists_have_different_digests(a: list[Episode], b: list[Episode]) -> None:
    assert (digest(a) == digest(b)) == (a == b)


@pytest.mark.parametrize("name", ["", "a,b", "a\tb", "a\nb", "a\u2028b", "\ud800"])
def test_names_that_would_blur_a_list(name: str) -> None:
    assert not storable(name)


@pytest.mark.parametrize("name", ["2007_000033", "abe's_flyingfish/1", "straße 7", "a.b-c"])
def test_names_that_lists_can_hold(name: str) -> None:
    assert storable(name)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("", "line 2: not an episode"),
        ("{", "line 2: not an episode"),
        ("[1]", "line 2: not an episode"),
        ('{"episode": 1, "class": 0, "query": "a"}', "line 2: not an episode .*supports"),
        ('{"episode": 1, "class": 0, "query": "a", "supports": "bc"}', "line 2: not an episode"),
        ('{"episode": 1, "class": 0, "query": "a", "supports": [1]}', "line 2: not an episode"),
        ('{"episode": 1, "class": 0, "query": 1, "supports": ["b"]}', "line 2: not an episode"),
        ('{"episode": 1, "class": "0", "query": "a", "supports": ["b"]}', "line 2: not an epi"),
        ('{"episode": 2, "class": 0, "query": "a", "supports": ["b"]}', "episode 2 out of order"),
        ('{"episode": 1, "class": 0, "query": "a", "supports": []}', "line 2: supports must be"),
        ('{"episode": 1, "class": 0, "query": "a", "supports": ["b", "a"]}', "line 2: supports mu"),
    ],
)
def test_the_first_wrong_line_is_named(second: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    good = '{"episode": 0, "class": 0, "query": "a", "supports": ["b"]}\n'
    path.write_text(good + second + "\n" + good)
    with pytest.raises(DatasetError, match=message):
        read_episodes(path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read the episode list .*none\.jsonl"):
        read_episodes(tmp_path / "none.jsonl")


# What every recipe keeps


@settings(max_examples=15, deadline=None)
@given(pool=pools(), shots=st.sampled_from([1, 2, 5]))
@pytest.mark.parametrize("name", [name for name in recipes() if name not in SHOTS])
def test_every_recipe_draws_supports_of_the_class_but_never_the_query_or_its_group(
    name: str, pool: EpisodePool, shots: int
) -> None:
    assume(drawable(pool, shots))
    try:
        episodes = recipes()[name](pool, shots)
    except DatasetError as error:
        said = {"absent-v1": "may be a query beside", "nway2-v1": "", "nway5-v1": ""}
        assert said[name] in str(error)
        return
    assert [e.index for e in episodes] == list(range(len(episodes)))
    for episode in episodes:
        assert episode.class_index in pool.fold.novel
        absent = name == "absent-v1" and episode.index % 2 == 1
        if not name.startswith("nway"):
            assert (episode.query in pool.images(episode.class_index)) is not absent
        assert len(episode.supports) == shots
        assert set(episode.supports) <= set(pool.images(episode.class_index))
        assert episode.query not in episode.supports
        if pool.folds.group is not None:
            assert all(support[:2] != episode.query[:2] for support in episode.supports)
        if name != "hsnet":
            assert len(set(episode.supports)) == shots
    assert recipes()[name](pool, shots) == episodes


@pytest.mark.parametrize("name", [name for name in recipes() if name not in SHOTS])
def test_a_pool_that_is_too_small_is_refused_and_named(name: str) -> None:
    draw = recipes()[name]
    empty = FoldSet(split([(0, 1)], [], [("a", 0), ("b", 0)]))
    with pytest.raises(DatasetError, match="toy fold 0: class 1 has no test image"):
        draw(EpisodePool("toy", empty, empty.fold(0), {"a": (0,), "b": (0,)}), 1)
    one_group = FoldSet(split([(0,)], [], [("g_1", 0), ("g_2", 0)]), group="^(g)")
    pool = EpisodePool("toy", one_group, one_group.fold(0), {"g_1": (0,), "g_2": (0,)})
    with pytest.raises(DatasetError, match="2 of them related to 'g'"):
        draw(pool, 1)


# fixed-v1


@settings(max_examples=15, deadline=None)
@given(pool=pools())
def test_fixed_is_balanced_over_classes_and_queries(pool: EpisodePool) -> None:
    assume(drawable(pool, 1))
    episodes = fixed.draw(pool, 1)
    novel = pool.fold.novel
    assert len(episodes) >= 1000
    assert len(episodes) - 1000 < len(novel)
    for number, episode in enumerate(episodes):
        assert episode.class_index == novel[number % len(novel)]
    for index in novel:
        queries = Counter(e.query for e in episodes if e.class_index == index)
        times = [queries[image] for image in pool.images(index)]
        assert max(times) - min(times) <= 1


@settings(max_examples=15, deadline=None)
@given(pool=pools())
def test_fixed_lists_are_nested(pool: EpisodePool) -> None:
    assume(drawable(pool, 5))
    lists = {shots: fixed.draw(pool, shots) for shots in (1, 2, 5)}
    for one, two, five in zip(*lists.values(), strict=True):
        assert (one.query, one.class_index) == (two.query, two.class_index)
        assert (one.query, one.class_index) == (five.query, five.class_index)
        assert five.supports[:1] == one.supports and five.supports[:2] == two.supports


def test_fixed_uses_all_other_images_as_supports_about_equally() -> None:
    pool = simple_pool(images=24)
    counts = Counter(s for e in fixed.draw(pool, 5) if e.class_index == 0 for s in e.supports)
    assert set(counts) == set(pool.images(0))
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_fixed_draws_are_its_own_for_each_dataset_fold_and_class() -> None:
    first, second = simple_pool("one"), simple_pool("two")
    assert digest(fixed.draw(first, 1)) != digest(fixed.draw(second, 1))
    images = [f"i{n}" for n in range(10)]
    folds = FoldSet(split([(0, 1), (2, 3)], [], [(i, c) for i in images for c in range(4)]))
    drawn = [
        [e.query for e in fixed.draw(EpisodePool("toy", folds, fold), 1) if e.class_index == index]
        for fold in folds.folds
        for index in fold.novel
    ]
    assert len({tuple(queries) for queries in drawn}) == 4


def test_fixed_draws_what_it_always_drew() -> None:
    pool = simple_pool(images=24, group="^([a-d])_")
    assert (
        digest(fixed.draw(pool, 1))
        == "6085f862455386081f4c15e0597983da88691d0939bd3d19e8d23a9f79c2fec5"
    )
    assert (
        digest(fixed.draw(pool, 5))
        == "1e6d5cf473b55261405419cde588a0a6db36160af23e81985f829b7a1dcc9e75"
    )


# hsnet


def published_draws(pool: EpisodePool, shots: int, count: int) -> list[Episode]:
    """The published loaders' words: names are drawn from lists of names."""
    random = RandomState(0)
    episodes = []
    for number in range(count):
        if pool.folds.query_order == "walk":
            query, index = pool.fold.test[number % len(pool.fold.test)]
        else:
            if pool.folds.query_order == "cycle":
                index = pool.fold.novel[number % len(pool.fold.novel)]
            else:
                index = int(random.choice(pool.fold.novel, 1, replace=False)[0])
            query = str(random.choice(pool.images(index), 1, replace=False)[0])
        supports: list[str] = []
        while True:
            name = str(random.choice(pool.images(index), 1, replace=False)[0])
            if name != query:
                supports.append(name)
            if len(supports) == shots:
                break
        episodes.append(Episode(number, index, query, tuple(supports)))
    return episodes


def test_hsnet_takes_the_classes_in_turn_where_the_publication_does() -> None:
    pool = simple_pool()
    folds = FoldSet(pool.folds.folds, query_order="cycle")
    drawn = hsnet.draw(EpisodePool("toy", folds, folds.fold(0)), 1)
    assert [e.class_index for e in drawn[:5]] == [0, 1, 0, 1, 0]
    assert len({e.query for e in drawn if e.class_index == 0}) == len(pool.images(0))


@pytest.mark.parametrize("order", ["walk", "draw", "cycle"])
@pytest.mark.parametrize("shots", [1, 5])
def test_hsnet_draws_indices_as_the_published_code_draws_names(order: str, shots: int) -> None:
    pool = simple_pool()
    folds = FoldSet(pool.folds.folds, query_order=order)  # type: ignore[arg-type]
    pool = EpisodePool("toy", folds, folds.fold(0))
    drawn = hsnet.draw(pool, shots)
    assert len(drawn) == 1000
    assert drawn == published_draws(pool, shots, 1000)
    assert shots == 1 or any(len(set(e.supports)) < shots for e in drawn)


def test_hsnet_takes_the_published_number_of_episodes() -> None:
    pool = simple_pool()
    for published, count in ((7, 7), ("pairs", len(pool.fold.test))):
        folds = FoldSet(pool.folds.folds, published_episodes=published)  # type: ignore[arg-type]
        assert len(hsnet.draw(EpisodePool("toy", folds, folds.fold(0)), 1)) == count


# pfenet and bam


@pytest.mark.parametrize(("dataset", "count"), [("pascal", 5000), ("coco", 20000)])
def test_pfenet_walks_the_images_in_order(dataset: str, count: int) -> None:
    pool = simple_pool(dataset)
    images = list(dict.fromkeys(image for image, _ in pool.fold.test))
    episodes = pfenet.draw(pool, 1)
    assert [e.query for e in episodes] == [images[i % len(images)] for i in range(count)]


def test_pfenet_draws_among_all_classes_of_the_image_those_below_the_area_rule_too() -> None:
    pool = simple_pool()
    shown = {**pool.present, "b_1": (0, 1)}  # type: ignore[dict-item]
    assert ("b_1", 0) not in pool.fold.test
    pool = EpisodePool("toy", pool.folds, pool.fold, shown)
    for draw in (pfenet.draw, pfenet.draw_bam):
        classes = Counter(e.class_index for e in draw(pool, 1) if e.query == "b_1")
        assert 0.4 < classes[0] / classes.total() < 0.6


def test_bam_is_five_runs_that_each_begin_anew() -> None:
    pool = simple_pool()
    images = list(dict.fromkeys(image for image, _ in pool.fold.test))
    episodes = pfenet.draw_bam(pool, 1)
    assert len(episodes) == 5000
    runs = [episodes[start : start + 1000] for start in range(0, 5000, 1000)]
    for run in runs:
        assert [e.query for e in run[:20]] == [images[i % len(images)] for i in range(20)]
    assert len({tuple(e.supports for e in run) for run in runs}) == 5
    seeds = RandomState(123).randint(0, 1000, 5)
    assert runs[2] == [
        Episode(ANY, e.class_index, e.query, e.supports)
        for e in pfenet._walk(pool, 1, 1000, int(seeds[2]), first=0)
    ]


def test_pfenet_and_bam_draw_what_they_always_drew() -> None:
    pool = simple_pool(images=24)
    assert (
        digest(pfenet.draw(pool, 1))
        == "6c61519876cad6fcb70c57dd1c85dea5fe601e24da1ad98ed48cf4b674ba8bf9"
    )
    assert (
        digest(pfenet.draw(pool, 5))
        == "e27eaaa2f1ccdb6c57a14dbf64190f4f09bb38855e8733e9d21218a4603debfa"
    )
    assert (
        digest(pfenet.draw_bam(pool, 5))
        == "adc8eb6e39a0a14126163f92a28f160f45a9c7dfd6640638f26e5ff7b73424c0"
    )


def test_pfenet_needs_label_maps() -> None:
    pool = simple_pool()
    bare = EpisodePool("toy", pool.folds, pool.fold)
    for draw in (pfenet.draw, pfenet.draw_bam):
        with pytest.raises(DatasetError, match="prepare the dataset first"):
            draw(bare, 1)
